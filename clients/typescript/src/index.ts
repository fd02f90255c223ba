/** A client of the Interdomestik API that repeats calls safely; its types are generated from the API's description. */

import createClient, { type Client } from "openapi-fetch";
import { makeRetryingFetch, type FetchOptions } from "./retrying-fetch.js";
import type { components, paths } from "./schema.js";

export type { components, paths } from "./schema.js";
export { iterate, ListRefused } from "./pages.js";
export { makeRetryingFetch, type FetchOptions } from "./retrying-fetch.js";
export { uploadDocument, UploadRefused } from "./uploads.js";

export type Problem = components["schemas"]["Problem"];
export type InterdomestikClient = Client<paths>;

/** Return a client of the API at `baseUrl` (with its stage, as in https://…/api), signed in if it has a token. */
export function connect(baseUrl: string, options: FetchOptions & { token?: string } = {}): InterdomestikClient {
  const headers = options.token === undefined ? {} : { Authorization: `Bearer ${options.token}` };
  return createClient<paths>({ baseUrl, headers, fetch: makeRetryingFetch(baseUrl, options) });
}
