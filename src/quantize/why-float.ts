/** What stays float and why, in words: for errors and warnings. */
import type { Model } from '../ir/model.ts';
import { openBodies } from '../passes/open-bodies.ts';
import { defaultScheme, isIntegerScheme } from '../recipe/recipe.ts';
import { findOpenedLinears } from '../structure/find-linears.ts';
import { describeForms, findQuantized } from '../structure/find-quantized.ts';
import { planTotals } from './plan-totals.ts';
import type { PlannedTotals, QuantizationPlan } from './quantization-plan.ts';

/** Reasons, and operators, that one sentence gives. */
const GIVEN = 3;
/** Operators that hold less of all constant bytes are not worth a word. */
const WORTH_A_WORD = 0.1;
/** Who has this share of all constant bytes quantized need not be told what holds the rest. */
const MOST = 0.5;

/**
 * Returns the warning that a plan quantizes less than half of the constants, with what holds them, as
 * `4 % of constant bytes are quantized: Conv weights hold 91 % and stay float.`
 */
export function littleQuantized({ totals }: QuantizationPlan): string | undefined {
  const { bytesBefore, quantizedShare } = totals;
  if (bytesBefore === 0 || quantizedShare >= MOST) return undefined;
  const holders = holdersOf(totals);
  const who = holders === undefined ? 'the rest stays float' : `${holders} and stay float`;
  return `${percent(quantizedShare)} of constant bytes are quantized: ${who}.`;
}

/**
 * Returns why no layer has INT8 activations in a plan whose recipe wants them, undefined for recipes of
 * weights alone.
 */
export function whyNoIntegers({ recipe, layers, totals }: QuantizationPlan): string | undefined {
  if (!isIntegerScheme(defaultScheme(recipe))) return undefined;
  const obstacles = layers.map(({ name, reason = 'recipe' }) => ({ node: name, reason }));
  return inWords(obstacles, totals);
}

/** Returns what a model has in place of products that can be quantized. */
export function whyNoLinears(model: Model): string {
  const already = findQuantized(model).filter(({ kind }) => kind === 'product');
  if (already.length > 0) {
    return `the model is already quantized (${describeForms(already)}) and no other product with a constant was found`;
  }
  const declined: Obstacle[] = [];
  const opened = openBodies(model);
  findOpenedLinears(opened, opened.model, { decline: (found) => declined.push(found) });
  return inWords(declined, planTotals(model, [], []));
}

interface Obstacle {
  readonly node: string;
  readonly reason: string;
}

/** `a: the weight is the left operand; b and 2 more: ...; Conv weights hold 91 % of constant bytes and are not quantized`. */
function inWords(obstacles: readonly Obstacle[], totals: PlannedTotals): string {
  const byReason = new Map<string, string[]>();
  for (const { node, reason } of obstacles) {
    byReason.set(reason, [...(byReason.get(reason) ?? []), node]);
  }
  const reasons = [...byReason].slice(0, GIVEN).map(([reason, [first, ...others]]) => {
    return `${first}${others.length === 0 ? '' : ` and ${others.length} more`}: ${reason}`;
  });
  const holders = holdersOf(totals);
  const words =
    holders === undefined
      ? reasons
      : [...reasons, `${holders} of constant bytes and are not quantized`];
  return words.length === 0 ? 'no product with a constant' : words.join('; ');
}

/** `Conv weights hold 79 % and LSTM weights 12 %`, or undefined when no operator holds much. */
function holdersOf({ bytesBefore, floatBytes = {} }: PlannedTotals): string | undefined {
  const holders = Object.entries(floatBytes)
    .filter(([, bytes]) => bytes >= WORTH_A_WORD * bytesBefore)
    .slice(0, GIVEN)
    .map(([operator, bytes], index) => {
      const verb = index === 0 ? ' hold' : '';
      return `${operator} weights${verb} ${percent(bytes / bytesBefore)}`;
    });
  return holders.length === 0 ? undefined : holders.join(' and ');
}

function percent(share: number): string {
  return `${Math.round(100 * share)} %`;
}
