import { withGraph } from '../../ir/edit.ts';
import type { Model } from '../../ir/model.ts';
import type { Tensor } from '../../ir/tensor.ts';
import type { MatrixProduct } from '../../numerics/matrix.ts';
import type { GraphView } from '../../passes/graph-view.ts';
import { NO_UNIT } from '../axis-rule.ts';
import type { Consumer } from '../follow-units.ts';
import { graphContext } from '../graph-context.ts';
import type { Cut } from '../kept-axes.ts';
import { readAlongAxis } from '../read-along-axis.ts';
import { type UnitWeight, unitWeights } from '../unit-weights.ts';
import { type ChannelSplit, foldRemoved, outputError, standIns } from './least-squares.ts';
import { writeAlongAxis } from './write-along-axis.ts';

/** Shares of the mean squared activation that are tried: little data needs much, much data little. */
const DAMPINGS = [0.01, 0.03, 0.1, 0.3, 1];

/** Second moments of a product's input over two halves of the calibration samples. */
export interface HalvedMoments {
  readonly width: number;
  /** Sums of x * transpose(x), `width` x `width`: of every other sample, and of those between. */
  readonly halves: readonly [Float32Array, Float32Array];
}

/** What least squares made of one product. */
export interface Recovered {
  readonly group: string;
  /** Error of its output on the half that was not fitted, as a share of that without recovery; 1 when not accepted. */
  readonly errorRatio: number;
  /** Null when not accepted. */
  readonly damping: number | null;
  /** Why nothing was done. */
  readonly reason?: string;
}

/** What recovery needs. */
export interface RecoveryInput {
  readonly model: Model;
  readonly cuts: readonly Cut[];
  /** Returns the moments of a product's input, undefined where calibration did not look. */
  moments(consumer: Consumer): Promise<HalvedMoments | undefined>;
  /** Multiplies the matrices of least squares. */
  readonly multiply: MatrixProduct;
  /** Puts a weight where it need not stay in memory. */
  store(tensor: Tensor): Promise<Tensor>;
  readonly onWeight?: (done: number, total: number) => void;
}

/**
 * Returns the model in which the weights that read removed channels have taken them on to those that stay, by least
 * squares on what calibration saw (OSSCAR, Meng et al. 2024; ridge by the mean of the diagonal). The ridge is
 * the one with the least error on samples that were not fitted; a weight is left alone where none is better
 * than nothing. Channels are still there: cutting comes after.
 */
export async function recoverWeights(
  input: RecoveryInput,
): Promise<{ readonly model: Model; readonly recovered: readonly Recovered[] }> {
  const { model, cuts } = input;
  const { view } = graphContext(model);
  const replaced = new Map<string, Tensor>();
  const recovered: Recovered[] = [];
  for (const [index, cut] of cuts.entries()) {
    input.onWeight?.(index, cuts.length);
    for (const weight of unitWeights(view, cut.group)) {
      if (weight.consumer === undefined) continue;
      const reason = whyNot(weight, view);
      const found =
        reason === undefined ? await recoverOne(input, cut, weight, weight.consumer) : reason;
      const group = cut.group.name;
      if (typeof found === 'string')
        recovered.push({ group, errorRatio: 1, damping: null, reason: found });
      else {
        recovered.push({ group, errorRatio: found.errorRatio, damping: found.damping });
        if (found.tensor !== undefined) {
          replaced.set(weight.value, await input.store(found.tensor));
        }
      }
    }
  }
  if (replaced.size === 0) return { model, recovered };
  const initializers = new Map(model.graph.initializers);
  for (const [name, tensor] of replaced) initializers.set(name, tensor);
  return { model: withGraph(model, { ...model.graph, initializers }), recovered };
}

function whyNot({ value, tensor, scale }: UnitWeight, view: GraphView): string | undefined {
  if (scale !== undefined) return 'its weight is quantized';
  if (tensor.dims.length !== 2) return 'its weight is a filter';
  if (!view.graph.initializers.has(value)) return 'its weight is a Constant';
  return view.uses(value).length > 1 ? 'several layers share its weight' : undefined;
}

async function recoverOne(
  input: RecoveryInput,
  { removed: units }: Cut,
  weight: UnitWeight,
  consumer: Consumer,
): Promise<{ tensor?: Tensor; errorRatio: number; damping: number | null } | string> {
  const moments = await input.moments(consumer);
  if (moments === undefined) return 'its second moments are not known';
  const gone = new Set(units);
  const places = [...weight.units.keys()];
  const isGone = (place: number): boolean =>
    weight.units[place] !== NO_UNIT && gone.has(weight.units[place]!);
  const removed = places.filter(isGone);
  const kept = places.filter((place) => !isGone(place));
  const rows = await readAlongAxis(weight);
  const splitOf = (gram: Float32Array): ChannelSplit => ({
    gram,
    width: moments.width,
    kept,
    removed,
  });
  const [fitted, heldOut] = moments.halves.map(splitOf) as [ChannelSplit, ChannelSplit];
  const { multiply } = input;
  const before = await outputError(heldOut, rows, undefined, multiply);
  let best: { error: number; damping: number } | undefined;
  for (const damping of DAMPINGS) {
    const standIn = await standIns(fitted, damping, multiply);
    if (standIn === undefined) return 'no sample reached its channels';
    const error = await outputError(heldOut, rows, standIn, multiply);
    if (best !== undefined && error >= best.error) break;
    best = { error, damping };
  }
  if (best === undefined || !(best.error < before)) return { errorRatio: 1, damping: null };
  const both = moments.halves[0].map((sum, index) => sum + moments.halves[1][index]!);
  const standIn = await standIns(splitOf(both), best.damping, multiply);
  if (standIn === undefined) return 'no sample reached its channels';
  const folded = await foldRemoved({ kept, removed }, rows, standIn, multiply);
  const tensor = writeAlongAxis(weight, folded);
  if (tensor === undefined) return `its weight would pass the range of ${weight.tensor.dataType}`;
  return { tensor, errorRatio: best.error / before, damping: best.damping };
}
