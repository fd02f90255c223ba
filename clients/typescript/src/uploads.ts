/** Uploads of documents: announced, sent to the store with a signed form, and completed. */

import type { InterdomestikClient } from "./index.js";
import type { components } from "./schema.js";

const FORM_EXPIRED = 403;

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
 * A form that has expired meanwhile is signed anew by repeating the announcement with its own key, which reserves no
 * second place. `store` sends to S3, without the token.
 */
export async function uploadDocument(
  client: InterdomestikClient,
  claimId: string,
  file: { name: string; type: components["schemas"]["NewDocument"]["content_type"]; content: Uint8Array<ArrayBuffer> },
  store: typeof fetch = fetch,
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
    const sent = await store(announced.data.upload.url, { method: "POST", body: form });
    if (sent.status === FORM_EXPIRED && attempt === 0) continue;
    if (!sent.ok) throw new UploadRefused(sent.status, await sent.text());
    const completed = await client.POST("/claims/{claim_id}/documents/{document_id}/completion", {
      params: { path: { claim_id: claimId, document_id: announced.data.id } },
    });
    if (completed.data === undefined) throw new UploadRefused(completed.response.status, completed.error);
    return completed.data;
  }
}
