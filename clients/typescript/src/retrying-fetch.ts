/** A fetch that makes each call take effect once, however often its answer is lost. */

import { choosePause, DEFAULT_POLICY, isRepeated, type RetryPolicy } from "./retries.js";
import { SeenVersions } from "./versions.js";

const WRITES = new Set(["POST", "PUT", "PATCH", "DELETE"]);
const ATTEMPT_MS = 35_000; // of one attempt; the gateway gives up after 29 s
// Statuses whose Response must have no body.
const WITHOUT_BODY = new Set([204, 205, 304]);

export interface FetchOptions {
  policy?: Partial<RetryPolicy>;
  fetch?: (request: Request) => Promise<Response>;
  sleep?: (milliseconds: number) => Promise<void>;
  now?: () => number;
}

/**
 * Return a fetch for the API at `baseUrl`. It gives every write an Idempotency-Key and repeats calls with the same one:
 * if their answer was lost, or if the service asks for it (429, 503, a first request that still runs), after
 * Retry-After. A change that needs If-Match gets the ETag of the version that was last seen. What the caller sets stays.
 */
export function makeRetryingFetch(baseUrl: string, options: FetchOptions = {}): (request: Request) => Promise<Response> {
  const policy = { ...DEFAULT_POLICY, ...options.policy };
  const send = options.fetch ?? ((request: Request) => fetch(request));
  const sleep = options.sleep ?? ((ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms)));
  const now = options.now ?? (() => performance.now());
  const basePath = new URL(baseUrl).pathname.replace(/\/$/, "");
  const versions = new SeenVersions();
  const findPath = (path: string) => (path.startsWith(basePath) ? path.slice(basePath.length) : path);

  async function attemptOnce(request: Request, body: ArrayBuffer | undefined): Promise<[Response, string]> {
    const signal = AbortSignal.any([request.signal, AbortSignal.timeout(ATTEMPT_MS)]);
    const answer = await send(new Request(request, { ...(body ? { body } : {}), signal }));
    return [answer, await answer.text()]; // an answer that is cut in the middle is lost as well
  }

  return async (original) => {
    const request = new Request(original);
    const path = findPath(new URL(request.url).pathname);
    const body = request.body === null ? undefined : await request.clone().arrayBuffer();
    addHeaders(request, path, versions);
    const deadline = now() + policy.patienceMs;
    for (let attempt = 0; ; attempt++) {
      let lost: unknown;
      let answer: Response | undefined;
      let text = "";
      try {
        [answer, text] = await attemptOnce(request, body);
      } catch (error) {
        if (request.signal.aborted) throw error; // the caller's own wish
        lost = error;
      }
      const pause = choosePause(policy, attempt, answer?.headers.get("Retry-After") ?? null, Math.random());
      const isOver = now() + pause >= deadline;
      if (answer && (isOver || !isRepeated(answer.status, text, attempt))) {
        learnVersion(request.method, path, answer, versions, findPath);
        return new Response(WITHOUT_BODY.has(answer.status) ? null : text, answer);
      }
      if (isOver) throw lost;
      await sleep(pause);
    }
  };
}

function addHeaders(request: Request, path: string, versions: SeenVersions): void {
  if (WRITES.has(request.method) && !request.headers.has("Idempotency-Key")) {
    request.headers.set("Idempotency-Key", crypto.randomUUID());
  }
  const tag = versions.find(request.method, path);
  if (tag !== undefined && !request.headers.has("If-Match")) request.headers.set("If-Match", tag);
}

function learnVersion(
  method: string,
  path: string,
  answer: Response,
  versions: SeenVersions,
  findPath: (path: string) => string,
): void {
  const tag = answer.headers.get("ETag");
  const location = answer.headers.get("Location");
  if (answer.ok && tag !== null) versions.learn(method, path, tag, location === null ? undefined : findPath(location));
}
