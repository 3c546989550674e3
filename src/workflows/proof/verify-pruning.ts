import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import { feedHints } from '../../calibrate/feed-hints.ts';
import { feedInputs } from '../../calibrate/feed-input.ts';
import { makeFeeds } from '../../calibrate/make-feeds.ts';
import type { Sample } from '../../calibrate/sample.ts';
import { AutoglmError, UnsupportedError } from '../../errors.ts';
import type { Model } from '../../ir/model.ts';
import { convertToFloat32 } from '../../passes/convert-to-float32.ts';
import { runPasses } from '../../passes/pass.ts';
import type { Cut } from '../../prune/kept-axes.ts';
import { maskedReference } from '../../prune/masked-reference.ts';
import { toFloat32 } from '../../values/element-array.ts';
import type { Feeds, TensorValue } from '../../values/tensor-value.ts';
import type { DataChoice } from '../project/open-data.ts';
import { runTapped } from './run-tapped.ts';
import { SAMPLE_TOKENS, someSample } from './some-sample.ts';
import { cutTokens } from './token-feeds.ts';

/** Sums that a kernel takes in another order differ in the last bits of float32. */
const TOLERANCE = 1e-5;

/** How the cut model compares with the masked original. */
export interface PruningProof {
  /** Output elements compared. */
  readonly values: number;
  /** True when every one has the same bits. */
  readonly isExact: boolean;
  /** Largest difference, as a share of the largest magnitude of the same output. */
  readonly largestDifference: number;
}

/** Why nothing was compared, in words. */
export interface NotProven {
  readonly reason: string;
}

/**
 * Runs the cut model and the original, whose removed channels are masked where they are summed, on one sample in
 * float32 without graph optimisation, and compares all outputs of equal shape. Throws {@link AutoglmError} when
 * they differ by more than the order of sums: a defect of autoglm, never of the model. Without data there may be
 * nothing to feed.
 */
export async function verifyPruning(request: {
  readonly source: ModelOnDisk;
  /** The model before channels are cut, with its weights as they are cut. */
  readonly whole: Model;
  readonly pruned: Model;
  readonly cuts: readonly Cut[];
  readonly choice: DataChoice | undefined;
}): Promise<PruningProof | NotProven> {
  const { source, whole, pruned, cuts, choice } = request;
  const [cut, reference] = [pruned, maskedReference(whole, cuts)].map((model) =>
    runPasses(model, [convertToFloat32]),
  ) as [Model, Model];
  const sample = await someSample(source, reference, choice);
  const names = cut.graph.outputs.map(({ name }) => name);
  const fed = feedBoth(request, [cut, reference], sample);
  if ('reason' in fed) return fed;
  const actual = await runTapped(cut, names, fed.cut, { like: cut });
  const expected = await runTapped(reference, names, fed.reference, { like: whole });
  let [values, isExact, largestDifference] = [0, true, 0];
  for (const name of names) {
    const [a, b] = [actual.get(name), expected.get(name)];
    // A cache that lost heads has another shape.
    if (a === undefined || b === undefined || `${a.dims}` !== `${b.dims}`) continue;
    const compared = compare(a, b);
    values += compared.count;
    isExact &&= compared.largest === 0;
    largestDifference = Math.max(largestDifference, compared.relative);
    if (!(compared.relative <= TOLERANCE)) {
      throw new AutoglmError(
        `${name}: is not what the masked model gives (got a difference of ${compared.relative.toPrecision(3)} of its ` +
          `largest magnitude, expected at most ${TOLERANCE}). This is a defect of autoglm: please report it.`,
      );
    }
  }
  return { values, isExact, largestDifference };
}

/** Only an input that a made-up sample cannot feed, because nobody knows its size, is no error. */
function feedBoth(
  { source, choice }: { readonly source: ModelOnDisk; readonly choice: DataChoice | undefined },
  [cut, reference]: readonly [Model, Model],
  sample: Sample,
): { readonly cut: Feeds; readonly reference: Feeds } | NotProven {
  try {
    return { cut: feedsOf(source, cut, sample), reference: feedsOf(source, reference, sample) };
  } catch (error) {
    if (choice !== undefined || !(error instanceof UnsupportedError)) throw error;
    return { reason: 'without data its inputs cannot be fed' };
  }
}

function feedsOf(source: ModelOnDisk, model: Model, sample: Sample): Feeds {
  const inputs = feedInputs(model.graph);
  return cutTokens(inputs, makeFeeds(inputs, sample, feedHints(source.model)), SAMPLE_TOKENS);
}

function compare(
  a: TensorValue,
  b: TensorValue,
): { readonly count: number; readonly largest: number; readonly relative: number } {
  const [left, right] = [toFloat32(a), toFloat32(b)];
  let [largest, magnitude] = [0, 0];
  for (let index = 0; index < left.length; index++) {
    // NaN in both is the same; in one it is a difference.
    if (Object.is(left[index], right[index])) continue;
    const difference = Math.abs(left[index]! - right[index]!);
    largest = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(largest, difference);
    magnitude = Math.max(magnitude, Math.abs(right[index]!));
  }
  return { count: left.length, largest, relative: largest === 0 ? 0 : largest / (magnitude || 1) };
}
