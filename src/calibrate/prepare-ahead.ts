/**
 * Yields what `prepare` makes of each item, with the next one made while the caller works on this
 * one. Items for which it makes nothing are left out.
 */
export async function* prepareAhead<Item, Made>(
  items: AsyncIterable<Item>,
  prepare: (item: Item) => Made | undefined,
): AsyncIterable<Made> {
  const source = items[Symbol.asyncIterator]();
  const next = async (): Promise<Made | undefined> => {
    for (;;) {
      const result = await source.next();
      if (result.done === true) return undefined;
      const made = prepare(result.value);
      if (made !== undefined) return made;
    }
  };
  let ahead = next();
  try {
    for (let current = await ahead; current !== undefined; current = await ahead) {
      ahead = next();
      // Its failure belongs to the turn in which it is awaited.
      ahead.catch(() => {});
      yield current;
    }
  } finally {
    await ahead.catch(() => {});
    await source.return?.();
  }
}
