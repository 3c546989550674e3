import type { PruneGroup } from './group.ts';

/**
 * Returns the units that go, ascending: of each stretch of a group the `perBlock` with the lowest scores, ties by
 * position.
 */
export function chooseUnits(
  { unitCount, blockCount }: Pick<PruneGroup, 'unitCount' | 'blockCount'>,
  scores: Float64Array,
  perBlock: number,
): readonly number[] {
  const size = unitCount / blockCount;
  const removed: number[] = [];
  for (let block = 0; block < blockCount; block++) {
    const order = Array.from({ length: size }, (_, index) => block * size + index);
    order.sort((a, b) => scores[a]! - scores[b]! || a - b);
    removed.push(...order.slice(0, perBlock));
  }
  return removed.sort((a, b) => a - b);
}

/**
 * Returns how many units go from each of several groups alike when the same total is taken where it costs least:
 * scores are compared as multiples of the mean of their group, so that no layer goes because its numbers are
 * small. Counts are of single units; a group keeps at least one of each stretch.
 */
export function sharesOfTotal(
  groups: readonly { readonly scores: Float64Array; readonly most: number }[],
  total: number,
): readonly number[] {
  const ranked = groups.flatMap(({ scores, most }, group) => {
    const mean = scores.reduce((sum, score) => sum + score, 0) / scores.length || 1;
    return Array.from(scores, (score) => score / mean)
      .sort((a, b) => a - b)
      .slice(0, most)
      .map((score) => ({ group, score }));
  });
  ranked.sort((a, b) => a.score - b.score || a.group - b.group);
  const counts = groups.map(() => 0);
  for (const { group } of ranked.slice(0, total)) counts[group]!++;
  return counts;
}
