import { isCalibratedScheme, isIntegerScheme } from '../recipe/recipe.ts';
import type { ActivationRanges } from './quantization-plan.ts';
import type { SelectedScheme } from './select-scheme.ts';

/** Reason of a layer whose input no sample can change. */
const CONSTANT_INPUT = 'its input is a constant';

/**
 * Returns the choice for a layer that reads `input`, or weights alone with the reason when no input of
 * the model can change what it reads: runtimes fold the rounding of a constant when they load, and its
 * product is no integer product any more.
 */
export function withoutConstantInput(
  choice: SelectedScheme,
  input: string,
  constants: ReadonlySet<string>,
): SelectedScheme {
  if (!isIntegerScheme(choice.scheme) || !constants.has(input)) return choice;
  return { scheme: 'w8a16', reason: CONSTANT_INPUT };
}

/**
 * Returns the choice for a layer that reads `input`, or weights alone with the reason when integers
 * cannot stand for that activation. A range that is found in every run needs no calibrated one.
 */
export function withRange(
  choice: SelectedScheme,
  input: string,
  ranges: ActivationRanges,
): SelectedScheme {
  const reason = whyFloat(choice, input, ranges);
  return reason === undefined ? choice : { scheme: 'w8a16', reason };
}

function whyFloat(
  { scheme }: SelectedScheme,
  input: string,
  ranges: ActivationRanges,
): string | undefined {
  const range = ranges.get(input);
  if (scheme === 'w8a8-dynamic') return range?.unfitInRun;
  if (!isCalibratedScheme(scheme)) return undefined;
  if (range === undefined) return `no calibrated range for ${input}`;
  const unfit = scheme === 'w8a8x2' ? range.unfitInPlanes : range.unfit;
  if (unfit !== undefined) return unfit;
  const isKnown = Number.isFinite(range.min) && Number.isFinite(range.max);
  return isKnown ? undefined : `range of ${input} is not finite`;
}
