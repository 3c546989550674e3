/**
 * Returns `make` with its last result kept for as long as the same key (by identity) is asked for. Sources of one weight are
 * read one after the other, and layers with one input follow each other, so that one of them is in memory at a time.
 */
export function cacheLast<K, V>(make: (key: K) => Promise<V>): (key: K) => Promise<V> {
  let last: { readonly key: K; readonly value: Promise<V> } | undefined;
  return (key) => {
    if (last === undefined || last.key !== key) last = { key, value: make(key) };
    return last.value;
  };
}
