import { readFile } from 'node:fs/promises';
import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import { collectGrams } from '../../calibrate/collect-grams.ts';
import { feedHints } from '../../calibrate/feed-hints.ts';
import type { GramFile } from '../../calibrate/observe/activation-observer.ts';
import { openOnnxruntimeObserver } from '../../calibrate/observe/observer.ts';
import { UsageError } from '../../errors.ts';
import { NEVER_REACHED } from '../../quantize/judge-ranges.ts';
import type { PlannedLayer, QuantizationPlan } from '../../quantize/quantization-plan.ts';
import { describeWork, gptqWork, isModerate } from '../../quantize/weights/gptq-work.ts';
import {
  type InputMoments,
  momentsOfGram,
  noMoments,
  type ReadInputMoments,
} from '../../quantize/weights/input-moments.ts';
import {
  GPTQ_MAX_WIDTH,
  int4Settings,
  int8Rounding,
  isIntegerScheme,
} from '../../recipe/recipe.ts';
import { makeTemporaryFolder, removeTemporaryFolder } from '../../storage/temporary-folder.ts';
import { elementsFromBytes } from '../../values/element-array.ts';
import type { Reporter } from '../progress.ts';
import { type DataChoice, openData } from '../project/open-data.ts';
import { warnOfCopies } from '../proof/warn-of-copies.ts';
import { observeInputs } from './observed-inputs.ts';

/** What is said where there are ranges without the data that they come from. */
const NEAREST_WITHOUT_DATA =
  'INT8 weights are rounded to nearest, because a calibration file has ranges alone. Give --data for GPTQ, ' +
  'which loses less.';

/** Second moments on disk, for the time that weights are rounded. */
export interface CollectedMoments {
  /** Absent when the plan needs none. */
  readonly read?: ReadInputMoments;
  /** The data that they come from. */
  readonly data?: { readonly path: string; readonly sha256: string };
  /** The plan that they were collected for, in which layers that the data never reached say so. */
  readonly plan: QuantizationPlan;
  /** Removes them. */
  close(): Promise<void>;
}

/**
 * Runs the calibration samples for the second moments that a plan's layers are rounded by; does nothing when there
 * are no such layers, or when INT8 ones have no data, which is said. Throws UsageError when 4-bit ones have none.
 */
export async function collectMoments(
  request: {
    readonly source: ModelOnDisk;
    readonly plan: QuantizationPlan;
    /** Why a layer needs none; as the target that the plan is written for says. */
    readonly whyFloat: (layer: PlannedLayer) => string | undefined;
    /** Whether INT8 weights are rounded by them as well as 4-bit ones. */
    readonly roundsInt8: boolean;
    readonly choice: DataChoice | undefined;
  },
  reporter: Reporter,
): Promise<CollectedMoments> {
  const { source, plan, whyFloat, roundsInt8, choice } = request;
  const wanted = plan.layers.filter(
    (layer) => isRounded(layer, plan, roundsInt8) && whyFloat(layer) === undefined,
  );
  const nearest = whyNearest(wanted, plan, choice);
  if (nearest !== undefined) reporter.note(`recipe ${plan.recipe.name}: ${nearest}`);
  const planned = nearest === undefined ? wanted : wanted.filter(isFourBits);
  if (planned.length === 0) return { plan, close: async () => {} };
  const { rounding } = int4Settings(plan.recipe);
  if (choice === undefined) {
    throw new UsageError(
      `recipe ${plan.recipe.name}: rounding "${rounding}" needs calibration data (got none). Give ` +
        '--data <folder>, or a recipe file with weights.rounding "rtn".',
    );
  }
  const dataset = await openData(choice, source);
  const { model, layers, values } = observeInputs(source.model, plan, planned);
  const folder = await makeTemporaryFolder('autoglm-moments-');
  const close = () => removeTemporaryFolder(folder);
  try {
    const files = await collectGrams({
      model,
      widths: new Map([...values.values()].map(({ value, width }) => [value, width])),
      dataset,
      openObserver: openOnnxruntimeObserver,
      modelPath: source.path,
      hints: feedHints(source.model),
      maxWidth: planned.some(isFourBits) && rounding === 'mse' ? 0 : GPTQ_MAX_WIDTH,
      capsRows: !planned.some(isFourBits),
      folder,
      onCopy: warnOfCopies(reporter),
      onProgress: ({ done, total, rssBytes: memoryBytes }) =>
        reporter.progress({ task: 'second moments', done, total, unit: 'samples', memoryBytes }),
    });
    const data = { path: choice.data, sha256: dataset.hash };
    const fileOf = (input: string): GramFile | undefined =>
      files.get(values.get(input)?.value ?? '');
    const isSilent = (name: string): boolean =>
      fileOf(layers.get(name)?.input ?? '')?.isSilent ?? true;
    const unreached = new Set(
      planned.filter((layer) => isFourBits(layer) && isSilent(layer.name)).map(({ name }) => name),
    );
    return {
      read: (input) => readMoments(values.get(input)?.width ?? 0, fileOf(input)),
      data,
      plan: withUnreached(plan, unreached),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Nothing is known of what a layer multiplies whose input no sample has reached, or left at zero. */
function withUnreached(plan: QuantizationPlan, unreached: ReadonlySet<string>): QuantizationPlan {
  if (unreached.size === 0) return plan;
  const layers = plan.layers.map((layer) =>
    unreached.has(layer.name) ? { ...layer, reason: NEVER_REACHED } : layer,
  );
  return { ...plan, layers };
}

/** Says whether a layer's weight is rounded by output error. */
function isRounded(
  { scheme }: PlannedLayer,
  { recipe }: QuantizationPlan,
  roundsInt8: boolean,
): boolean {
  if (scheme === 'w4a16') return int4Settings(recipe).rounding !== 'rtn';
  return roundsInt8 && isIntegerScheme(scheme) && int8Rounding(recipe) !== 'rtn';
}

function isFourBits({ scheme }: PlannedLayer): boolean {
  return scheme === 'w4a16';
}

/** Returns why the INT8 layers of `wanted` are rounded to nearest all the same, undefined when they are not, or there are none. */
function whyNearest(
  wanted: readonly PlannedLayer[],
  { recipe }: QuantizationPlan,
  choice: DataChoice | undefined,
): string | undefined {
  const layers = wanted.filter((layer) => !isFourBits(layer));
  if (layers.length === 0) return undefined;
  const work = gptqWork(layers);
  if (int8Rounding(recipe) === 'auto' && !isModerate(work)) {
    return (
      `INT8 weights are rounded to nearest, because GPTQ would take some ${describeWork(work)}. A recipe file with ` +
      '"weights: { rounding: gptq }" asks for it.'
    );
  }
  return choice === undefined ? NEAREST_WITHOUT_DATA : undefined;
}

async function readMoments(width: number, file: GramFile | undefined): Promise<InputMoments> {
  if (file === undefined) return noMoments(width);
  const { rowCount, path, isDiagonal } = file;
  const sums = elementsFromBytes('float32', await readFile(path)) as Float32Array;
  return isDiagonal ? { width, rowCount, squares: sums } : momentsOfGram(width, rowCount, sums);
}
