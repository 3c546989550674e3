import type { PlannedLayer } from '../quantization-plan.ts';

/** Multiplications that the kernel does in a second on one core of a server of 2023. */
const PER_SECOND = 2.5e9;

/** More than this takes a person by surprise: some 40 seconds. */
const MODERATE_WORK = 1e11;

/**
 * Returns the multiplications that GPTQ of some layers takes: carrying errors to half of the features on average, and a
 * factor of the second moments of each. Layers that share an input share the factor, which is not counted on.
 */
export function gptqWork(
  layers: readonly Pick<PlannedLayer, 'inFeatures' | 'outFeatures'>[],
): number {
  return layers.reduce(
    (sum, { inFeatures, outFeatures }) =>
      sum + inFeatures ** 2 * (outFeatures / 2 + inFeatures / 3),
    0,
  );
}

/** Says whether somebody who did not ask for GPTQ would wait for it. */
export function isModerate(work: number): boolean {
  return work <= MODERATE_WORK;
}

/** Returns about how long that takes, for people: `40 seconds`, `7 minutes`, `2 hours`. */
export function describeWork(work: number): string {
  const seconds = work / PER_SECOND;
  if (seconds < 90) return `${Math.round(seconds)} seconds`;
  const minutes = seconds / 60;
  return minutes < 90 ? `${Math.round(minutes)} minutes` : `${Math.round(minutes / 60)} hours`;
}
