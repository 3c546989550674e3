import type { Model } from '../ir/model.ts';
import { type MatrixProduct, multiplyHere } from '../numerics/matrix.ts';
import type { GraphView } from '../passes/graph-view.ts';
import { chooseUnits, sharesOfTotal } from './choose-units.ts';
import { alignedKeep, automaticAlignment, countToPrune } from './count-units.ts';
import { findGroups } from './find-groups.ts';
import type { Consumer } from './follow-units.ts';
import { graphContext } from './graph-context.ts';
import type { PruneGroup, PruneGroups } from './group.ts';
import type { ChannelMoments, Importance, ScoredGroup } from './importance/importance.ts';
import { importanceOf } from './importance/index.ts';
import { normScales } from './norm-scales.ts';
import { amountOf, type PruneSettings } from './prune-settings.ts';
import type { PlannedGroup, PruningPlan } from './pruning-plan.ts';
import { unitWeights } from './unit-weights.ts';

/** What scores may know of activations. */
export type ReadMoments = (consumer: Consumer) => Promise<ChannelMoments | undefined>;

/** What a plan is made of. */
export interface PlanInput {
  readonly model: Model;
  /** The groups of the model; found when absent. */
  readonly found?: PruneGroups;
  readonly settings: PruneSettings;
  readonly importance: string;
  /** Absent without calibration data. */
  readonly moments?: ReadMoments | undefined;
  /** Multiplies large matrices; here when absent. */
  readonly multiply?: MatrixProduct | undefined;
  readonly onGroup?: (done: number, total: number) => void;
}

/** A group with the score of each of its units. */
interface Scored {
  readonly group: PruneGroup;
  readonly scores: Float64Array;
  readonly importance: string;
  readonly reason?: string;
}

/** The groups that may lose units, each unit with its score. */
export interface ScoredGroups {
  readonly importance: string;
  readonly scored: readonly Scored[];
  readonly declined: PruneGroups['declined'];
}

/**
 * Returns which units go from each group: as many as the settings ask for, those with the lowest scores. A group
 * that the score cannot judge is ranked by `l1`, with the reason.
 */
export async function planPruning(input: PlanInput): Promise<PruningPlan> {
  return planFromScores(await scoreGroups(input), input.settings);
}

/** Returns the scores that a plan is made from: they serve every share up to that of the settings. */
export async function scoreGroups(input: PlanInput): Promise<ScoredGroups> {
  const { model, settings, importance } = input;
  const { groups, declined } = input.found ?? findGroups(model);
  const { view } = graphContext(model);
  const chosen = groups.filter(isChosen(groups, settings));
  const scored: Scored[] = [];
  for (const [index, group] of chosen.entries()) {
    input.onGroup?.(index, chosen.length);
    scored.push(await scoreGroup(view, group, input));
  }
  return { importance, scored, declined };
}

/** Returns the plan of a share, by default that of the settings. */
export function planFromScores(
  { importance, scored, declined }: ScoredGroups,
  settings: PruneSettings,
  amount: number = amountOf(settings),
): PruningPlan {
  const counts = countsOf(scored, settings, amount);
  return {
    amount,
    importance,
    groups: scored.map((entry, index) => planGroup(entry, counts[index]!)),
    declined,
  };
}

/** Says which groups the settings let go: of the right kind, in the right layers. */
function isChosen(
  groups: readonly PruneGroup[],
  { targets, layers, protectFirst, protectLast }: PruneSettings,
): (group: PruneGroup) => boolean {
  const last = Math.max(-1, ...groups.map((group) => layerOf(group) ?? -1));
  const [first = 0, end = last] = layers?.split('-').map(Number) ?? [];
  const until = layers !== undefined && !layers.includes('-') ? first : end;
  return (group) => {
    const layer = layerOf(group);
    if (!targets.includes(group.kind)) return false;
    if (layer === undefined) return layers === undefined && protectFirst + protectLast === 0;
    const isProtected = layer < protectFirst || layer > last - protectLast;
    return layer >= first && layer <= until && !isProtected;
  };
}

/** The number of the layer in a module path: 3 in `model.layers.3.mlp`. */
function layerOf({ name }: PruneGroup): number | undefined {
  const found = name.split('.').find((part) => /^\d+$/.test(part));
  return found === undefined ? undefined : Number(found);
}

async function scoreGroup(view: GraphView, group: PruneGroup, input: PlanInput): Promise<Scored> {
  const scoredGroup: ScoredGroup = {
    group,
    weights: unitWeights(view, group),
    normScales: await normScales(view, group),
    moments: async (consumer) => input.moments?.(consumer),
    mostPerBlock: mostPerBlock(group, input.settings),
    multiply: input.multiply ?? multiplyHere,
  };
  const wanted: Importance = importanceOf(input.importance);
  const scores = await wanted.score(scoredGroup);
  if (typeof scores !== 'string') return { group, scores, importance: wanted.name };
  const fallback = importanceOf('l1');
  const others = await fallback.score(scoredGroup);
  if (typeof others === 'string') throw new Error(`${group.name}: ${others}`);
  return {
    group,
    scores: others,
    importance: fallback.name,
    reason: `ranked by l1, because ${scores}`,
  };
}

interface Count {
  readonly asked: number;
  readonly perBlock: number;
}

function countsOf(
  scored: readonly Scored[],
  settings: PruneSettings,
  amount: number,
): readonly Count[] {
  const asked = scored.map(({ group }) => countToPrune(amount, sizeOf(group)));
  const shares = settings.scope === 'global' ? globalShares(scored, asked) : asked;
  return scored.map(({ group }, index) => ({
    asked: asked[index]! * group.blockCount,
    perBlock: alignedCount(group, shares[index]!, settings),
  }));
}

/** How many units of each stretch go when so many are asked for. */
function alignedCount(group: PruneGroup, asked: number, settings: PruneSettings): number {
  const size = sizeOf(group);
  const wanted = Math.min(asked, size - 1);
  if (group.kind === 'heads' || settings.exact) return wanted;
  const align = settings.align === 'auto' ? automaticAlignment(size) : settings.align;
  return size - alignedKeep(size, wanted, Math.min(align, size));
}

/** A layer that shares with others may lose more than its own share. */
function mostPerBlock(group: PruneGroup, settings: PruneSettings): number {
  const size = sizeOf(group);
  const own = alignedCount(group, countToPrune(amountOf(settings), size), settings);
  return settings.scope === 'global' ? Math.max(own, size >> 1) : own;
}

/** Groups of one kind share what all of them together are asked for; heads stay as they are, a few by nature. */
function globalShares(scored: readonly Scored[], asked: readonly number[]): readonly number[] {
  const shares = [...asked];
  for (const kind of ['ffn', 'channels'] as const) {
    const members = scored.flatMap((entry, index) => (entry.group.kind === kind ? [index] : []));
    const total = members.reduce((sum, index) => sum + asked[index]!, 0);
    const counts = sharesOfTotal(
      members.map((index) => ({
        scores: scored[index]!.scores,
        most: sizeOf(scored[index]!.group) - 1,
      })),
      total,
    );
    members.forEach((member, index) => {
      shares[member] = counts[index]!;
    });
  }
  return shares;
}

function sizeOf({ unitCount, blockCount }: PruneGroup): number {
  return unitCount / blockCount;
}

function planGroup(
  { group, scores, importance, reason }: Scored,
  { asked, perBlock }: Count,
): PlannedGroup {
  const { name, kind, unitCount, blockCount } = group;
  const removed = chooseUnits(group, scores, perBlock);
  const why = removed.length > 0 ? reason : whyNothing(group, asked);
  return {
    name,
    kind,
    unitCount,
    blockCount,
    asked,
    removed,
    importance,
    ...(why !== undefined && { reason: why }),
  };
}

/** The smallest step that would have been even, in words. */
function whyNothing(
  { kind, unitCount, blockCount }: PruneGroup,
  asked: number,
): string | undefined {
  const size = unitCount / blockCount;
  if (kind !== 'heads')
    return asked === 0 ? undefined : 'the nearest aligned width is the one it has';
  if (size === 1) return 'each key head has one query head';
  const step = `the smallest even step is ${Math.round((100 * blockCount) / unitCount)} %`;
  return blockCount === 1
    ? `of ${unitCount} heads ${step}`
    : `${unitCount} query heads share ${blockCount} key heads: ${step}`;
}
