import { withGraph } from '../../ir/edit.ts';
import type { Model } from '../../ir/model.ts';
import type { Tensor } from '../../ir/tensor.ts';
import type { Matrix, MatrixProduct } from '../../numerics/matrix.ts';
import { type GraphView, isOp } from '../../passes/graph-view.ts';
import { NO_UNIT } from '../axis-rule.ts';
import { type ConsumerColumns, widthOf } from '../consumer-columns.ts';
import type { Consumer } from '../follow-units.ts';
import { graphContext } from '../graph-context.ts';
import type { Cut } from '../kept-axes.ts';
import type { Recovery } from '../prune-settings.ts';
import { readAlongAxis } from '../read-along-axis.ts';
import { type UnitWeight, unitWeights } from '../unit-weights.ts';
import { type ColumnRows, outputShift, readColumns, writeColumns } from '../weight-columns.ts';
import { writeAlongAxis } from '../write-along-axis.ts';
import {
  type ChannelSplit,
  foldRemoved,
  meanStandIns,
  outputError,
  standIns,
} from './least-squares.ts';

/** Shares of the mean squared activation that are tried: little data needs much, much data little. */
const DAMPINGS = [0.01, 0.03, 0.1, 0.3, 1];

/** Second moments of the columns of a product over two halves of the calibration samples. */
export interface HalvedMoments {
  /** That of its `ConsumerColumns`. */
  readonly width: number;
  /** Sums of x * transpose(x), `width` x `width`: of every other sample, and of those between. */
  readonly halves: readonly [Float32Array, Float32Array];
}

/** What recovery made of one product. */
export interface Recovered {
  readonly group: string;
  readonly how: Recovery;
  /** Error of its output on the half that was not fitted, as a share of that without recovery; 1 when not accepted. */
  readonly errorRatio: number;
  /** Null when not accepted, and without least squares. */
  readonly damping: number | null;
  /** Why nothing was done. */
  readonly reason?: string;
}

interface Fitted {
  /** The weight and its bias, when accepted. */
  readonly tensors?: readonly Tensor[];
  readonly errorRatio: number;
  readonly damping: number | null;
}

/** What recovery needs. */
export interface RecoveryInput {
  readonly model: Model;
  readonly cuts: readonly Cut[];
  /** By least squares, or by the mean of each removed channel in the bias alone. */
  readonly how: Recovery;
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
  const { model, cuts, how } = input;
  const { view } = graphContext(model);
  const replaced = new Map<string, Tensor>();
  const recovered: Recovered[] = [];
  for (const [index, cut] of cuts.entries()) {
    input.onWeight?.(index, cuts.length);
    for (const weight of unitWeights(view, cut.group)) {
      const { consumer, columns } = weight;
      if (consumer === undefined || columns === undefined) continue;
      const reason = whyNot(weight, view);
      const product = { cut, weight: { ...weight, columns }, consumer };
      const found = reason === undefined ? await recoverOne(input, product) : reason;
      const group = cut.group.name;
      if (typeof found === 'string') {
        recovered.push({ group, how, errorRatio: 1, damping: null, reason: found });
        continue;
      }
      recovered.push({ group, how, errorRatio: found.errorRatio, damping: found.damping });
      const [changed, bias] = found.tensors ?? [];
      if (changed !== undefined) replaced.set(weight.value, await input.store(changed));
      if (bias !== undefined) replaced.set(bias.name, bias);
    }
  }
  if (replaced.size === 0) return { model, recovered };
  const initializers = new Map(model.graph.initializers);
  for (const [name, tensor] of replaced) initializers.set(name, tensor);
  return { model: withGraph(model, { ...model.graph, initializers }), recovered };
}

function whyNot(
  { value, tensor, scale, consumer }: UnitWeight,
  view: GraphView,
): string | undefined {
  if (scale !== undefined) return 'its weight is quantized';
  if (tensor.dims.length !== 2 && !isOp(consumer?.node, 'Conv')) return 'its weight has batches';
  if (!view.graph.initializers.has(value)) return 'its weight is a Constant';
  // dynamo asks weights for shape and type: such a reader sees no number.
  const readers = view
    .uses(value)
    .filter(({ node, inputIndex }) => !isOp(node, inputIndex === 1 ? 'CastLike' : 'Shape'));
  return readers.length > 1 ? 'several layers share its weight' : undefined;
}

/** A product of which removed units are made up for. */
interface Recoverable {
  readonly cut: Cut;
  readonly weight: UnitWeight & { readonly columns: ConsumerColumns };
  readonly consumer: Consumer;
}

async function recoverOne(
  input: RecoveryInput,
  { cut, weight, consumer }: Recoverable,
): Promise<Fitted | string> {
  const { columns } = weight;
  if (input.how === 'bias' && columns.bias === undefined) return 'it has no bias of its own';
  const moments = await input.moments(consumer);
  if (moments?.width !== widthOf(columns)) return 'its second moments are not known';
  const rows = await readColumns(weight);
  const splitOf = splitter(weight, cut, moments.width);
  const [fitted, heldOut] = moments.halves.map(splitOf) as [ChannelSplit, ChannelSplit];
  const { multiply } = input;
  const before = await outputError(heldOut, rows, undefined, multiply);
  let best: { error: number; damping: number | null } | undefined;
  for (const damping of input.how === 'bias' ? [null] : DAMPINGS) {
    const standIn = await standInsBy(fitted, damping, multiply);
    if (standIn === undefined) return 'no sample reached its channels';
    const error = await outputError(heldOut, rows, standIn, multiply);
    if (best !== undefined && error >= best.error) break;
    best = { error, damping };
  }
  if (best === undefined || !(best.error < before)) return { errorRatio: 1, damping: null };
  const both = moments.halves[0].map((sum, index) => sum + moments.halves[1][index]!);
  const split = splitOf(both);
  const standIn = await standInsBy(split, best.damping, multiply);
  if (standIn === undefined) return 'no sample reached its channels';
  const folded = { ...rows, values: await foldRemoved(split, rows, standIn, multiply) };
  const tensors = await writeFolded(weight, folded);
  const ratio = { errorRatio: best.error / before, damping: best.damping };
  return typeof tensors === 'string' ? tensors : { tensors, ...ratio };
}

async function standInsBy(
  split: ChannelSplit,
  damping: number | null,
  multiply: MatrixProduct,
): Promise<Matrix | undefined> {
  return damping === null ? meanStandIns(split) : standIns(split, damping, multiply);
}

/** Which columns go, by the units of the channels; the column of ones stays. */
function splitter(
  { units, columns: { channels, taps, bias } }: Recoverable['weight'],
  cut: Cut,
  width: number,
): (gram: Float32Array) => ChannelSplit {
  const gone = new Set(cut.removed);
  const isGone = (place: number): boolean => {
    const unit = units[Math.floor(place / taps)];
    return place < channels * taps && unit !== NO_UNIT && gone.has(unit!);
  };
  const places = [...Array(width).keys()];
  const removed = places.filter(isGone);
  const kept = places.filter((place) => !isGone(place));
  const one = bias === undefined ? undefined : width - 1;
  return (gram) => ({ gram, width, kept, removed, one });
}

/** The weight, and the bias where a constant is folded. */
async function writeFolded(
  weight: Recoverable['weight'],
  rows: ColumnRows,
): Promise<readonly Tensor[] | string> {
  const tensor = writeColumns(weight, rows);
  if (tensor === undefined) return `its weight would pass the range of ${weight.tensor.dataType}`;
  const { bias } = weight.columns;
  if (bias === undefined) return [tensor];
  const { values } = await readAlongAxis({
    tensor: bias.tensor,
    axis: bias.tensor.dims.length - 1,
  });
  const shift = outputShift(weight, rows);
  const shifted = values.map((value, feature) => value + bias.sign * shift[feature]!);
  const written = writeAlongAxis(
    { tensor: bias.tensor, axis: bias.tensor.dims.length - 1 },
    shifted,
  );
  if (written === undefined) return `its bias would pass the range of ${bias.tensor.dataType}`;
  return [tensor, { ...written, name: bias.value }];
}
