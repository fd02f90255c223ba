/** Uploads of documents: announced, sent to the store with a signed form, and completed. */

import type { InterdomestikClient } from "./index.js";
import { choosePause, DEFAULT_POLICY, type RetryPolicy } from "./retries.js";
import type { components } from "./schema.js";

const FORM_EXPIRED = 403;
const FAULT = 500; // the first status of those that are the store's fault

/** The service or the store refused the document. */
export class UploadRefused extends Error {
  constructor(
    readonly status: number,
    readonly problem: unknown,
  ) {
    super(`the upload was refused with ${status}`);
  }
}

/**
 * Upload a document of a claim and return it as it is available. Throw UploadRefused.
 *
 * An upload whose answer is lost is repeated as `policy` says: the same file is stored again, in the same place. A form
 * that has expired meanwhile is signed anew by repeating the announcement with its own key, which reserves no second
 * place. `store` sends to S3, without the token.
 */
export async function uploadDocument(
  client: InterdomestikClient,
  claimId: string,
  file: { name: string; type: components["schemas"]["NewDocument"]["content_type"]; content: Uint8Array<ArrayBuffer> },
  store: typeof fetch = fetch,
  policy: RetryPolicy = DEFAULT_POLICY,
): Promise<components["schemas"]["DocumentView"]> {
  const key = { "Idempotency-Key": crypto.randomUUID() };
  for (let attempt = 0; ; attempt++) {
    const announced = await client.POST("/claims/{claim_id}/documents", {
      params: { path: { claim_id: claimId }, header: key },
      body: { file_name: file.name, content_type: file.type, size: file.content.byteLength },
    });
    if (announced.data === undefined) throw new UploadRefused(announced.response.status, announced.error);
    const form = new FormData();
    for (const [name, value] of Object.entries(announced.data.upload.fields)) form.append(name, value);
    form.append("file", new Blob([file.content], { type: file.type }), file.name);
    const sent = await send(store, announced.data.upload.url, form, policy);
    if (sent.status === FORM_EXPIRED && attempt === 0) continue;
    if (!sent.ok) throw new UploadRefused(sent.status, await sent.text());
    const completed = await client.POST("/claims/{claim_id}/documents/{document_id}/completion", {
      params: { path: { claim_id: claimId, document_id: announced.data.id } },
    });
    if (completed.data === undefined) throw new UploadRefused(completed.response.status, completed.error);
    return completed.data;
  }
}

/** Return the store's answer to an upload, repeated while it is lost or a fault and there is time. */
async function send(store: typeof fetch, url: string, form: FormData, policy: RetryPolicy): Promise<Response> {
  const deadline = performance.now() + policy.patienceMs;
  for (let attempt = 0; ; attempt++) {
    const pause = choosePause(policy, attempt, null, Math.random());
    const isLast = performance.now() + pause >= deadline;
    try {
      const answer = await store(url, { method: "POST", body: form });
      if (isLast || answer.status < FAULT) return answer;
    } catch (error) {
      if (isLast) throw error;
    }
    await new Promise<void>((resolve) => setTimeout(resolve, pause));
  }
}
