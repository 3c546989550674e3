/**
 * Returns the Levenshtein distance (1966) of two strings in UTF-16 units: the least number of
 * insertions, deletions and replacements that turn one into the other.
 */
export function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 0; i < a.length; i++) {
    const current = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const replace = previous[j]! + (a[i] === b[j] ? 0 : 1);
      current.push(Math.min(replace, previous[j + 1]! + 1, current[j]! + 1));
    }
    previous = current;
  }
  return previous[b.length]!;
}

/**
 * Returns the candidate a person most likely meant, or undefined when none is close (further than
 * a third of the longer word, two edits always allowed). Case is ignored; the first of equals wins.
 */
export function nearest(word: string, candidates: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    const allowed = Math.max(2, Math.floor(Math.max(word.length, candidate.length) / 3));
    if (distance <= allowed && distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}
