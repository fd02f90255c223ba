/** The versions of records that a client has seen, for If-Match. */

// Calls that need If-Match: the method, and the path below the base with the part that names the record.
const CHANGES: readonly (readonly [string, RegExp])[] = [
  ["PATCH", /^(\/agents\/[^/]+)$/],
  ["PATCH", /^(\/members\/[^/]+)$/],
  ["POST", /^(\/claims\/[^/]+)\/transitions$/],
  ["PUT", /^(\/claims\/[^/]+)\/assignee$/],
];
const MOST_KEPT = 1000; // records; the one that was learnt longest ago is forgotten

/** Return the path of the record that a call changes on a condition, undefined for any other call. */
export function findChangedRecord(method: string, path: string): string | undefined {
  for (const [changing, pattern] of CHANGES) {
    const found = method === changing ? pattern.exec(path) : null;
    if (found) return found[1];
  }
  return undefined;
}

/** ETags by the path of their record. */
export class SeenVersions {
  readonly #tags = new Map<string, string>();

  /** Return the ETag on which a call's change is based; undefined if the call has none, or nothing was seen. */
  find(method: string, path: string): string | undefined {
    const record = findChangedRecord(method, path);
    return record === undefined ? undefined : this.#tags.get(record);
  }

  /** Keep the ETag of an answer: that of a new record, of the changed one, or of the one that was read. */
  learn(method: string, path: string, tag: string, location: string | undefined): void {
    const record = location ?? findChangedRecord(method, path) ?? path;
    this.#tags.delete(record);
    this.#tags.set(record, tag);
    const oldest = this.#tags.keys().next().value;
    if (this.#tags.size > MOST_KEPT && oldest !== undefined) this.#tags.delete(oldest);
  }
}
