/** The retrying fetch without a network: keys, repeats, pauses and versions. Run by `node --test` on what tsc made. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { makeRetryingFetch } from "../dist/retrying-fetch.js";

const URL = "https://api.example.test/api";
const RUNNING = JSON.stringify({ type: "urn:interdomestik:problem:request-in-progress" });

/** Return a fetch whose answers are the steps, the last one for ever, with the requests it made and its pauses. */
function connect(steps, policy = {}) {
  const requests = [];
  const pauses = [];
  let now = 0;
  const call = makeRetryingFetch(URL, {
    policy,
    now: () => now,
    sleep: async (ms) => {
      pauses.push(ms);
      now += ms;
    },
    fetch: async (request) => {
      requests.push({ key: request.headers.get("Idempotency-Key"), tag: request.headers.get("If-Match"), body: await request.text() });
      const step = steps[Math.min(requests.length, steps.length) - 1];
      if (step instanceof Error) throw step;
      return step.clone();
    },
  });
  const send = (method, path, headers = {}) =>
    call(new Request(URL + path, { method, headers, ...(method === "GET" ? {} : { body: '{"a":1}' }) }));
  return { send, requests, pauses };
}

const answer = (status, headers = {}, body = "{}") => new Response(status === 204 ? null : body, { status, headers });
const cut = new TypeError("fetch failed");

test("a write whose answers are lost is repeated with one key and the same body", async () => {
  const { send, requests } = connect([cut, cut, answer(201)]);
  assert.equal((await send("POST", "/members")).status, 201);
  assert.equal(requests.length, 3);
  assert.equal(new Set(requests.map((each) => each.key)).size, 1);
  assert.ok(requests[0].key);
  assert.deepEqual(new Set(requests.map((each) => each.body)), new Set(['{"a":1}']));
});

test("every call has a key of its own, and a key that the caller chose is kept", async () => {
  const { send, requests } = connect([answer(201)]);
  await send("POST", "/members");
  await send("POST", "/members");
  await send("POST", "/members", { "Idempotency-Key": "mine" });
  assert.equal(new Set(requests.map((each) => each.key)).size, 3);
  assert.equal(requests[2].key, "mine");
});

test("the time that the service names is waited for", async () => {
  for (const status of [429, 503]) {
    const { send, pauses } = connect([answer(status, { "Retry-After": "12" }), answer(200)]);
    assert.equal((await send("GET", "/members")).status, 200);
    assert.ok(pauses[0] >= 12_000 && pauses[0] < 12_200);
  }
});

test("a first request that still runs is waited for, and other refusals are answers", async () => {
  const running = connect([answer(409, { "Retry-After": "1" }, RUNNING), answer(201)]);
  assert.equal((await running.send("POST", "/members")).status, 201);
  for (const status of [400, 401, 404, 409, 412, 422]) {
    const { send, requests } = connect([answer(status)]);
    assert.equal((await send("POST", "/members")).status, status);
    assert.equal(requests.length, 1);
  }
});

test("a fault of the service is repeated twice and then returned", async () => {
  const { send, requests } = connect([answer(500)]);
  assert.equal((await send("POST", "/members")).status, 500);
  assert.equal(requests.length, 3);
});

test("patience ends with the last answer or the last error", async () => {
  const refused = connect([answer(503, { "Retry-After": "1" })], { patienceMs: 10_000 });
  assert.equal((await refused.send("GET", "/members")).status, 503);
  await assert.rejects(connect([cut], { patienceMs: 10_000 }).send("GET", "/members"), cut);
});

test("a change names the version that was last seen, and nothing is guessed", async () => {
  const { send, requests } = connect([answer(200, { ETag: '"3"' }), answer(200, { ETag: '"4"' })]);
  await send("GET", "/claims/c");
  await send("POST", "/claims/c/transitions");
  await send("PUT", "/claims/c/assignee");
  await send("PATCH", "/members/m");
  assert.deepEqual(requests.map((each) => each.tag), [null, '"3"', '"4"', null]);
});

test("a record that was just made is changed without reading it", async () => {
  const { send, requests } = connect([answer(201, { ETag: '"1"', Location: "/api/claims/c" }), answer(200)]);
  await send("POST", "/claims");
  await send("POST", "/claims/c/transitions");
  assert.equal(requests[1].tag, '"1"');
});

test("an answer without a body is passed on", async () => {
  assert.equal((await connect([answer(204)]).send("DELETE", "/claims/c/documents/d")).status, 204);
});
