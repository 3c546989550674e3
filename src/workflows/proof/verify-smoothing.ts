import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import { feedHints } from '../../calibrate/feed-hints.ts';
import { feedInputs } from '../../calibrate/feed-input.ts';
import { makeFeeds } from '../../calibrate/make-feeds.ts';
import { AutoglmError } from '../../errors.ts';
import type { Model } from '../../ir/model.ts';
import { convertToFloat32 } from '../../passes/convert-to-float32.ts';
import { gatherBeforeCast } from '../../passes/gather-before-cast.ts';
import { runPasses } from '../../passes/pass.ts';
import { applySmoothing } from '../../quantize/smooth/apply-smoothing.ts';
import { findSmoothingSites } from '../../quantize/smooth/find-sites.ts';
import { decodeScales, type PlannedSmoothing } from '../../quantize/smooth/planned-smoothing.ts';
import { inputScales } from '../../quantize/smooth/smoothing-site.ts';
import { findBlocks } from '../../structure/find-blocks.ts';
import { findLinears } from '../../structure/find-linears.ts';
import { toFloat32 } from '../../values/element-array.ts';
import type { Feeds, TensorValue } from '../../values/tensor-value.ts';
import type { DataChoice } from '../project/open-data.ts';
import { runByPart } from './run-tapped.ts';
import { SAMPLE_TOKENS, someSample } from './some-sample.ts';
import { cutTokens } from './token-feeds.ts';

/**
 * Where scales are powers of two folding changes no bit. Others round each weight and each activation
 * once more, and that grows from block to block; a fold that is wrong is off by a factor.
 */
const TOLERANCE = 1e-4;

/** What the comparison of a folded model with its source gave. */
export interface SmoothingCheck {
  /** Values compared: the end of every block, and the outputs that no block makes. */
  readonly values: number;
  /** Largest difference, as a share of the largest magnitude of the same value. */
  readonly largestDifference: number;
}

/**
 * Runs the float model with the scales of a plan folded in, and without, on one calibration sample
 * and compares the end of every block. Weights are multiplied in the graph, in float32 as
 * `scaleTensor` does it, so that none is copied. Throws {@link AutoglmError} naming the first block that
 * differs by more than rounding: a defect of autoglm, never of the model.
 */
export async function verifySmoothing(
  source: ModelOnDisk,
  smoothing: PlannedSmoothing,
  choice: DataChoice | undefined,
): Promise<SmoothingCheck> {
  const twin = runPasses(source.model, [convertToFloat32, gatherBeforeCast]);
  const folded = applySmoothing(twin, smoothing, 'in-graph');
  return compareFolded(source, { twin, folded, smoothing }, choice);
}

/** A float32 model, and what folding the scales of a plan made of it. */
export interface FoldedModel {
  readonly twin: Model;
  readonly folded: Model;
  readonly smoothing: PlannedSmoothing;
}

/** Compares a model with what folding made of it, as {@link verifySmoothing} says. */
export async function compareFolded(
  source: ModelOnDisk,
  { twin, folded, smoothing }: FoldedModel,
  choice: DataChoice | undefined,
): Promise<SmoothingCheck> {
  const points = comparedValues(twin, smoothing);
  const names = points.map(({ value }) => value);
  const inputs = feedInputs(twin.graph);
  const sample = await someSample(source, twin, choice);
  const feeds = cutTokens(
    inputs,
    makeFeeds(inputs, sample, feedHints(source.model)),
    SAMPLE_TOKENS,
  );
  const largestDifference = await compareInTurns(
    points,
    runByPart(twin, names, feeds),
    runByPart(folded, names, feeds, { like: twin }),
  );
  return { values: points.length, largestDifference };
}

/**
 * Returns the largest difference between two runs. They go in turns, so that a part of the weights is
 * read from disk once for both, and a wrong fold ends them there.
 */
async function compareInTurns(
  points: readonly ComparedValue[],
  expectedRun: AsyncGenerator<Feeds>,
  actualRun: AsyncGenerator<Feeds>,
): Promise<number> {
  const expected = new Map<string, TensorValue>();
  const actual = new Map<string, TensorValue>();
  let largest = 0;
  for (const { value, where, scales } of points) {
    while (!(expected.has(value) && actual.has(value))) {
      const moved = [await advance(expectedRun, expected), await advance(actualRun, actual)];
      if (!moved.includes(true)) throw differs(where, value, Number.NaN);
    }
    const difference = relativeDifference(expected.get(value)!, actual.get(value)!, scales);
    if (!(difference <= TOLERANCE)) throw differs(where, value, difference);
    largest = Math.max(largest, difference);
    expected.delete(value);
    actual.delete(value);
  }
  return largest;
}

/** Runs the next part and takes its values; false when there is none. */
async function advance(
  run: AsyncGenerator<Feeds>,
  into: Map<string, TensorValue>,
): Promise<boolean> {
  const { done, value } = await run.next();
  if (done === true) return false;
  for (const [name, tensor] of value) into.set(name, tensor);
  return true;
}

function differs(where: string, value: string, difference: number): AutoglmError {
  return new AutoglmError(
    `smoothing: ${where} does not give the same after folding (got a difference of ` +
      `${difference.toPrecision(3)} of the largest magnitude of ${value}, expected at most ` +
      `${TOLERANCE}). This is a defect of autoglm: please report it, and use "smoothing: none".`,
  );
}

interface ComparedValue {
  readonly value: string;
  readonly where: string;
  /** What the channels of the folded value were divided by. */
  readonly scales: Float32Array | undefined;
}

/** Weights of a head, as float32, beyond which running it would cost more memory than all blocks. */
const LARGEST_HEAD_BYTES = 2 ** 30;

/** The residual stream after every block, in order, then what the head makes unless it is huge. */
function comparedValues(model: Model, smoothing: PlannedSmoothing): readonly ComparedValue[] {
  const sites = new Map(findSmoothingSites(model).map((site) => [site.layers[0]!.name, site]));
  // Where a block ends in the norm of the head, its end is divided itself.
  const divided = new Map<string, Float32Array>();
  for (const planned of smoothing.sites) {
    const site = sites.get(planned.name);
    if (site === undefined) continue;
    const scales = inputScales(site, decodeScales(planned.scales));
    for (const { input } of site.layers) divided.set(input, scales);
  }
  const pointAt = (value: string, where: string): ComparedValue => {
    return { value, where, scales: divided.get(value) };
  };
  const points = findBlocks(model).map(({ output, name }) => pointAt(output, `block ${name}`));
  const heads = findLinears(model)
    .filter(({ role, inFeatures, outFeatures }) => {
      return role === 'head' && inFeatures * outFeatures * 4 <= LARGEST_HEAD_BYTES;
    })
    .map(({ output, name }) => pointAt(output, `layer ${name}`));
  const seen = new Set<string>();
  return [...points, ...heads].filter(({ value }) => !seen.has(value) && seen.add(value));
}

/** Returns max|a - b * scale of its channel| / max|a|; NaN where either is not finite. */
function relativeDifference(
  expected: TensorValue,
  actual: TensorValue,
  scales: Float32Array | undefined,
): number {
  const a = toFloat32(expected);
  const b = toFloat32(actual);
  if (a.length !== b.length) return Number.NaN;
  let magnitude = 0;
  let difference = 0;
  for (let index = 0; index < a.length; index++) {
    magnitude = Math.max(magnitude, Math.abs(a[index]!));
    const scale = scales === undefined ? 1 : scales[index % scales.length]!;
    difference = Math.max(difference, Math.abs(a[index]! - b[index]! * scale));
  }
  return magnitude === 0 ? difference : difference / magnitude;
}
