import { parameterBytes, parameterCount } from '../ir/constants.ts';
import type { Model } from '../ir/model.ts';
import { type GraphView, viewGraph } from '../passes/graph-view.ts';
import { findConstant } from '../structure/constant-path.ts';
import { applyPruning } from './apply-pruning.ts';
import { automaticAlignment } from './count-units.ts';
import { cuttableGroups } from './cuttable-groups.ts';
import { findGroups } from './find-groups.ts';
import type { DeclinedGroup, GroupKind, PruneGroup } from './group.ts';

/** A group and what removing a part of it saves. */
export interface PrunableGroup {
  readonly name: string;
  readonly kind: GroupKind;
  /** Channels or heads. */
  readonly units: number;
  /** Stretches that lose equally many: query heads of a key head. */
  readonly blocks: number;
  /** Units of the smallest even, aligned step. */
  readonly step: number;
  /** How many such steps there are before nothing would be left. */
  readonly steps: number;
  /** Parameters and stored bytes that one step saves. */
  readonly parametersPerStep: number;
  readonly bytesPerStep: number;
  /** Share of the parameters of the model that all units of the group hold. */
  readonly share: number;
}

/** What of a model can be pruned, and what cannot and why. */
export interface Prunable {
  readonly parameterCount: number;
  /** Bytes in which they are stored. */
  readonly byteLength: number;
  readonly groups: readonly PrunableGroup[];
  readonly declined: readonly DeclinedGroup[];
}

interface Saving {
  readonly parameters: number;
  readonly bytes: number;
}

/**
 * Returns what of a model can be pruned. Savings are those of a cut that is made, on the graph alone: no weight is
 * read, and layers that are alike are cut once.
 */
export function findPrunable(model: Model): Prunable {
  const { groups, declined } = cuttableGroups(model, findGroups(model));
  const { graph } = model;
  const whole = { parameters: parameterCount(graph), bytes: parameterBytes(graph) };
  const view = viewGraph(model);
  const savings = new Map<string, Saving>();
  const described = groups.map((group): PrunableGroup => {
    const { step, steps } = stepsOf(group);
    const alike = signatureOf(view, group);
    const saved = savings.get(alike) ?? savingOf(model, whole, group, step);
    savings.set(alike, saved);
    return {
      name: group.name,
      kind: group.kind,
      units: group.unitCount,
      blocks: group.blockCount,
      step,
      steps,
      parametersPerStep: saved.parameters,
      bytesPerStep: saved.bytes,
      share: (saved.parameters / step) * (group.unitCount / whole.parameters),
    };
  });
  return {
    parameterCount: whole.parameters,
    byteLength: whole.bytes,
    groups: described,
    declined,
  };
}

/** Heads go one from each stretch, channels by the multiple to which widths are rounded. */
function stepsOf({
  kind,
  unitCount,
  blockCount,
}: PruneGroup): Pick<PrunableGroup, 'step' | 'steps'> {
  const size = unitCount / blockCount;
  const align = kind === 'heads' ? 1 : Math.min(automaticAlignment(size), size);
  const steps = Math.ceil(size / align) - 1;
  return { step: (steps === 0 ? 1 : align) * blockCount, steps };
}

/** What removing the first units of each stretch saves. A group that can lose none has no saving. */
function savingOf(model: Model, whole: Saving, group: PruneGroup, step: number): Saving {
  const { unitCount, blockCount } = group;
  const size = unitCount / blockCount;
  if (size < 2) return { parameters: 0, bytes: 0 };
  const removed = Array.from({ length: unitCount }, (_, unit) => unit).filter(
    (unit) => unit % size < step / blockCount,
  );
  const { graph } = applyPruning(model, [{ group, removed }]);
  return {
    parameters: whole.parameters - parameterCount(graph),
    bytes: whole.bytes - parameterBytes(graph),
  };
}

/** Groups with one signature lie alike in constants of the same sizes. */
function signatureOf(view: GraphView, group: PruneGroup): string {
  const { kind, unitCount, blockCount, axes } = group;
  const places = axes.flatMap(({ value, axis }) => {
    const constant = findConstant(view, value);
    if (constant === undefined || constant.path.length > 0) return [];
    const { dataType, dims } = constant.tensor;
    return [`${dataType} ${dims.join('x')} ${axis} ${constant.useCount}`];
  });
  return [kind, unitCount, blockCount, ...places.sort()].join('; ');
}
