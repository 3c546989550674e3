import type { SearchFigures } from './budget.ts';
import { type Evaluate, fallBack, type GroupSensitivity, rankGroups } from './rank-groups.ts';
import { type GroupChoice, hasIntegerActivations, type SearchGroup } from './search-group.ts';

/** The ways in which a search measures. */
export interface SearchMeasurements {
  /**
   * INT8 activations switched on and off in one loaded model, on some of the windows: fast, and enough
   * to put groups in order. Knows no `float`.
   */
  readonly glance: Evaluate;
  /** The artifact itself, built and run on all windows. */
  readonly measure: Evaluate;
}

/** One measured artifact between all INT8 activations and none. */
export interface CurvePoint {
  readonly choices: readonly GroupChoice[];
  readonly figures: SearchFigures;
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
 * sensitive per weight first, become weight-only. With n groups it takes n + 1 glances and at most
 * `ceil(log2 n) + 2` artifacts, of which the one that is chosen has proven itself. If weight-only
 * groups do not hold either, they become float in the same manner.
 */
export async function searchBudget(
  groups: readonly SearchGroup[],
  { glance, measure }: SearchMeasurements,
  holds: (figures: SearchFigures) => boolean,
): Promise<SearchOutcome> {
  const curve: CurvePoint[] = [];
  const at = async (choices: readonly GroupChoice[]): Promise<CurvePoint> => {
    const point = { choices, figures: await measure(choices) };
    curve.push(point);
    return point;
  };
  const search: Search = { groups, at, measure, holds };
  const count = groups.filter(hasIntegerActivations).length;
  if (count > 0) {
    const everything = await at(fallBack(groups, [], 0, 'planned'));
    if (holds(everything.figures)) return outcome(true, everything, [], curve);
  }
  const nothing = await at(groups.map((): GroupChoice => 'weight-only'));
  if (!holds(nothing.figures)) return searchFloat(search, [], curve);
  if (count === 0) return outcome(true, nothing, [], curve);
  const ranking = await rankGroups(groups, glance);
  let best = nothing;
  await bisect(0, count, async (middle) => {
    const point = await at(fallBack(groups, ranking, middle, 'weight-only'));
    const isEnough = holds(point.figures);
    if (isEnough) best = point;
    return isEnough;
  });
  return outcome(true, best, ranking, curve);
}

interface Search {
  readonly groups: readonly SearchGroup[];
  readonly at: (choices: readonly GroupChoice[]) => Promise<CurvePoint>;
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
  const limit = await at(all);
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
    const point = await at(fallBack(groups, order, middle, 'float', 'weight-only'));
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
