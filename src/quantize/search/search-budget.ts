import type { SearchFigures } from './budget.ts';
import { type Evaluate, fallBack, type GroupSensitivity, rankGroups } from './rank-groups.ts';
import { type GroupChoice, hasIntegerActivations, type SearchGroup } from './search-group.ts';

/** The ways in which a search measures. */
export interface SearchMeasurements {
  /** Fast: INT8 activations switched on and off in one loaded model. Knows no `float`. */
  readonly simulate: Evaluate;
  /** The same on some of the windows: enough to put groups in order. */
  readonly glance: Evaluate;
  /** The artifact itself, built and run. */
  readonly measure: Evaluate;
}

/** One measured point between all INT8 activations and none. */
export interface CurvePoint {
  readonly choices: readonly GroupChoice[];
  readonly figures: SearchFigures;
  readonly measuredOn: 'simulation' | 'artifact';
}

/** What a search found. */
export interface SearchOutcome {
  /** False when nothing holds; choices and figures are then the most exact that was measured. */
  readonly met: boolean;
  readonly choices: readonly GroupChoice[];
  /** Of the artifact with these choices. */
  readonly figures: SearchFigures;
  /** Most sensitive first; empty when the plan held as it was. */
  readonly ranking: readonly GroupSensitivity[];
  /** Every point that was measured on the way except those of the ranking, in order. */
  readonly curve: readonly CurvePoint[];
}

/**
 * Finds the choice with the most INT8 activations that `holds`: as few groups as possible, the most
 * sensitive per weight first, become weight-only. With n groups it takes at most
 * `n + ceil(log2 n) + 4` evaluations, of which the `n + 1` behind the order run on a few windows
 * only, and the last is of the artifact itself. Where the artifact
 * misses what the simulation promised, more groups are given up until the artifact holds. If
 * weight-only groups do not hold either, they become float in the same manner.
 */
export async function searchBudget(
  groups: readonly SearchGroup[],
  measurements: SearchMeasurements,
  holds: (figures: SearchFigures) => boolean,
): Promise<SearchOutcome> {
  const curve: CurvePoint[] = [];
  const at = async (
    choices: readonly GroupChoice[],
    measuredOn: CurvePoint['measuredOn'],
  ): Promise<CurvePoint> => {
    const evaluate = measuredOn === 'artifact' ? measurements.measure : measurements.simulate;
    const point = { choices, figures: await evaluate(choices), measuredOn };
    curve.push(point);
    return point;
  };
  const search: Search = { groups, at, measure: measurements.measure, holds };
  const count = groups.filter(hasIntegerActivations).length;
  const everything = fallBack(groups, [], 0, 'planned');
  if (count > 0 && holds((await at(everything, 'simulation')).figures)) {
    const proof = await at(everything, 'artifact');
    if (holds(proof.figures)) return outcome(true, proof, [], curve);
  }
  const nothing = groups.map((): GroupChoice => 'weight-only');
  const baseline = await at(nothing, count > 0 ? 'simulation' : 'artifact');
  if (!holds(baseline.figures)) return searchFloat(search, [], curve);
  if (count === 0) return outcome(true, baseline, [], curve);
  const ranking = await rankGroups(groups, measurements.glance);
  const fallen = (own: number): readonly GroupChoice[] =>
    fallBack(groups, ranking, own, 'weight-only');
  const promised = await bisect(0, count, async (middle) =>
    holds((await at(fallen(middle), 'simulation')).figures),
  );
  const proven = await prove(promised, count, holds, (own) => at(fallen(own), 'artifact'));
  return proven === undefined
    ? searchFloat(search, ranking, curve)
    : outcome(true, proven, ranking, curve);
}

/**
 * Returns the artifact with the fewest fallen groups that holds, looking from `promised` on: there,
 * then 1, 3, 7 ... groups further and, once one holds, between it and the last that did not.
 */
async function prove(
  promised: number,
  count: number,
  holds: (figures: SearchFigures) => boolean,
  artifactAt: (fallen: number) => Promise<CurvePoint>,
): Promise<CurvePoint | undefined> {
  let proven: CurvePoint | undefined;
  const isEnough = async (own: number): Promise<boolean> => {
    const point = await artifactAt(own);
    const isProven = holds(point.figures);
    if (isProven) proven = point;
    return isProven;
  };
  let failing = promised - 1;
  let next = promised;
  for (let step = 1; !(await isEnough(next)); step *= 2) {
    if (next === count) return undefined;
    failing = next;
    next = Math.min(count, next + step);
  }
  await bisect(failing, next, isEnough);
  return proven;
}

interface Search {
  readonly groups: readonly SearchGroup[];
  readonly at: (
    choices: readonly GroupChoice[],
    measuredOn: CurvePoint['measuredOn'],
  ) => Promise<CurvePoint>;
  readonly measure: Evaluate;
  readonly holds: (figures: SearchFigures) => boolean;
}

/** Gives up INT8 weights, those first that cost most per weight. Every point is an artifact. */
async function searchFloat(
  { groups, at, measure, holds }: Search,
  ranking: readonly GroupSensitivity[],
  curve: readonly CurvePoint[],
): Promise<SearchOutcome> {
  const candidates = groups.flatMap(({ canBeFloat }, group) => (canBeFloat ? [{ group }] : []));
  const all = fallBack(groups, candidates, candidates.length, 'float', 'weight-only');
  const limit = await at(all, 'artifact');
  if (!holds(limit.figures)) return outcome(false, limit, ranking, curve);
  const exact = limit.figures.klNats ?? 0;
  const costs: { readonly group: number; readonly cost: number }[] = [];
  for (const { group } of candidates) {
    const others = candidates.filter((other) => other.group !== group);
    const choices = fallBack(groups, others, others.length, 'float', 'weight-only');
    const { klNats } = await measure(choices);
    costs.push({ group, cost: ((klNats ?? Infinity) - exact) / groups[group]!.weightCount });
  }
  const order = costs.sort((a, b) => (a.cost === b.cost ? a.group - b.group : b.cost - a.cost));
  let best = limit;
  await bisect(0, order.length, async (middle) => {
    const point = await at(fallBack(groups, order, middle, 'float', 'weight-only'), 'artifact');
    const isEnough = holds(point.figures);
    if (isEnough) best = point;
    return isEnough;
  });
  return outcome(true, best, ranking, curve);
}

/** Returns the smallest count that holds, when `low` is known not to and `high` is known to. */
async function bisect(
  low: number,
  high: number,
  holds: (count: number) => Promise<boolean>,
): Promise<number> {
  let [failing, enough] = [low, high];
  while (enough - failing > 1) {
    const middle = Math.floor((failing + enough) / 2);
    if (await holds(middle)) enough = middle;
    else failing = middle;
  }
  return enough;
}

function outcome(
  met: boolean,
  { choices, figures }: CurvePoint,
  ranking: readonly GroupSensitivity[],
  curve: readonly CurvePoint[],
): SearchOutcome {
  return { met, choices, figures, ranking, curve: [...curve] };
}
