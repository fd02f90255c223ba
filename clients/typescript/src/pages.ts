/** Lists, page by page. */

export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}

/** A page was answered with a problem. */
export class ListRefused extends Error {
  constructor(readonly problem: unknown) {
    super("the list was refused");
  }
}

/**
 * Yield every item of a list; a page is read when it is reached:
 * `iterate((cursor) => client.GET("/claims", { params: { query: { ...cursor, state: "submitted" } } }))`.
 */
export async function* iterate<T>(
  readPage: (cursor: { cursor?: string }) => Promise<{ data?: Page<T>; error?: unknown }>,
): AsyncGenerator<T> {
  let cursor: { cursor?: string } = {};
  for (;;) {
    const { data, error } = await readPage(cursor);
    if (data === undefined) throw new ListRefused(error);
    yield* data.items;
    if (data.next_cursor === null) return;
    cursor = { cursor: data.next_cursor };
  }
}
