/** A group as an allocation sees it. */
export interface AllocatedGroup {
  /** Scores of its units: what each adds to the error of the group's output when it goes after all that score less. */
  readonly scores: Float64Array;
  /** What a unit of that error costs the model. */
  readonly sensitivity: number;
  /** Units go in multiples of this, as kernels like their widths. */
  readonly step: number;
  /** Units that may go at most. */
  readonly most: number;
  /** Parameters that go with each unit. */
  readonly parametersPerUnit: number;
}

/**
 * Returns how many units go from each group when `parameters` of all together are to go, so that the sum of their errors, each
 * times its sensitivity, is least: step by step from where a step costs least per parameter. That is the optimum, because
 * a group's steps never get cheaper. Short of what was asked for by less than a step of one group.
 */
export function allocateUnits(
  groups: readonly AllocatedGroup[],
  parameters: number,
): readonly number[] {
  const counts = groups.map(() => 0);
  const sorted = groups.map(({ scores }) => Float64Array.from(scores).sort());
  let left = parameters;
  for (;;) {
    let best: { readonly index: number; readonly cost: number } | undefined;
    for (const [index, { sensitivity, step, most, parametersPerUnit }] of groups.entries()) {
      const from = counts[index]!;
      const size = step * parametersPerUnit;
      if (from + step > most || size > left) continue;
      const error = sorted[index]!.subarray(from, from + step).reduce((a, b) => a + b, 0);
      const cost = (sensitivity * error) / size;
      if (best === undefined || cost < best.cost) best = { index, cost };
    }
    if (best === undefined) return counts;
    const { step, parametersPerUnit } = groups[best.index]!;
    counts[best.index] = counts[best.index]! + step;
    left -= step * parametersPerUnit;
  }
}

/** Returns the error that a group's scores foretell when so many units go. */
export function foretoldError(scores: Float64Array, count: number): number {
  return Float64Array.from(scores)
    .sort()
    .subarray(0, count)
    .reduce((sum, score) => sum + score, 0);
}
