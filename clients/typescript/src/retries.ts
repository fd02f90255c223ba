/** The decision whether a call is repeated, and when. */

// Answers that the gateway gives in place of a function, and refusals that ask to wait.
const REPEATED = new Set([429, 502, 503, 504]);
// A fault of the service is met by most repeats too: a few show whether it lasts, more would only add load.
const FAULT = 500;
const REPEATS_OF_A_FAULT = 2;
const STILL_RUNNING = "urn:interdomestik:problem:request-in-progress";

/** How long one call may take with all its repeats, and the pauses where the service names none; in milliseconds. */
export interface RetryPolicy {
  patienceMs: number;
  baseMs: number;
  capMs: number;
}

export const DEFAULT_POLICY: RetryPolicy = { patienceMs: 60_000, baseMs: 100, capMs: 5_000 };

/** Return the pause before the next attempt: what the service asks for, or else full jitter; `draw` is from 0 to 1. */
export function choosePause(policy: RetryPolicy, attempt: number, retryAfter: string | null, draw: number): number {
  if (retryAfter !== null && /^[0-9]+$/.test(retryAfter)) {
    // A little is added, so that all who were told the same time do not come at once.
    return Number(retryAfter) * 1000 + draw * policy.baseMs;
  }
  return draw * Math.min(policy.capMs, policy.baseMs * 2 ** attempt);
}

/** Return whether a call that was answered like this is sent again; `attempt` counts from 0. */
export function isRepeated(status: number, body: string, attempt: number): boolean {
  if (status === FAULT) return attempt < REPEATS_OF_A_FAULT;
  return REPEATED.has(status) || (status === 409 && readType(body) === STILL_RUNNING);
}

function readType(body: string): unknown {
  try {
    return (JSON.parse(body) as { type?: unknown } | null)?.type;
  } catch {
    return undefined;
  }
}
