import { readFile } from 'node:fs/promises';
import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import { collectGrams } from '../../calibrate/collect-grams.ts';
import { feedHints } from '../../calibrate/feed-hints.ts';
import type { GramFile } from '../../calibrate/observe/activation-observer.ts';
import { openOnnxruntimeObserver } from '../../calibrate/observe/observer.ts';
import { UsageError } from '../../errors.ts';
import type { Model } from '../../ir/model.ts';
import { convertToFloat32 } from '../../passes/convert-to-float32.ts';
import { distinctNames } from '../../passes/distinct-names.ts';
import { openBodies } from '../../passes/open-bodies.ts';
import { runPasses } from '../../passes/pass.ts';
import { NEVER_REACHED } from '../../quantize/judge-ranges.ts';
import type { PlannedLayer, QuantizationPlan } from '../../quantize/quantization-plan.ts';
import { applySmoothing } from '../../quantize/smooth/apply-smoothing.ts';
import {
  type InputMoments,
  momentsOfGram,
  noMoments,
  type ReadInputMoments,
} from '../../quantize/weights/input-moments.ts';
import { GPTQ_MAX_WIDTH, int4Settings } from '../../recipe/recipe.ts';
import { makeTemporaryFolder, removeTemporaryFolder } from '../../storage/temporary-folder.ts';
import { findOpenedLinears } from '../../structure/find-linears.ts';
import { elementsFromBytes } from '../../values/element-array.ts';
import type { Reporter } from '../progress.ts';
import { type DataChoice, openData } from '../project/open-data.ts';
import { warnOfCopies } from '../proof/warn-of-copies.ts';

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
 * Runs the calibration samples for the second moments that a plan's 4-bit layers are rounded by; does
 * nothing when there are no such layers. Throws UsageError when they are needed and no data was chosen.
 */
export async function collectMoments(
  request: {
    readonly source: ModelOnDisk;
    readonly plan: QuantizationPlan;
    /** Why a layer needs none; as the target that the plan is written for says. */
    readonly whyFloat: (layer: PlannedLayer) => string | undefined;
    readonly choice: DataChoice | undefined;
  },
  reporter: Reporter,
): Promise<CollectedMoments> {
  const { source, plan, whyFloat, choice } = request;
  const planned = plan.layers.filter(
    (layer) => layer.scheme === 'w4a16' && whyFloat(layer) === undefined,
  );
  const { rounding } = int4Settings(plan.recipe);
  if (planned.length === 0 || rounding === 'rtn') {
    return { plan, close: async () => {} };
  }
  if (choice === undefined) {
    throw new UsageError(
      `recipe ${plan.recipe.name}: rounding "${rounding}" needs calibration data (got none). Give ` +
        '--data <folder>, or a recipe file with weights.rounding "rtn".',
    );
  }
  const dataset = await openData(choice, source);
  const model = sourceOfWeights(source.model, plan);
  const folder = await makeTemporaryFolder('autoglm-moments-');
  const close = () => removeTemporaryFolder(folder);
  try {
    const inputs = new Map(
      findOpenedLinears(openBodies(model))
        .filter(({ name }) => planned.some((layer) => layer.name === name))
        .map((layer) => [layer.name, layer]),
    );
    const widths = new Map(
      [...inputs.values()].map(({ input, inFeatures }) => [input, inFeatures]),
    );
    const files = await collectGrams({
      model,
      widths,
      dataset,
      openObserver: openOnnxruntimeObserver,
      modelPath: source.path,
      hints: feedHints(source.model),
      maxWidth: rounding === 'gptq' ? GPTQ_MAX_WIDTH : 0,
      folder,
      onCopy: warnOfCopies(reporter),
      onProgress: ({ done, total, rssBytes: memoryBytes }) =>
        reporter.progress({ task: 'second moments', done, total, unit: 'samples', memoryBytes }),
    });
    const data = { path: choice.data, sha256: dataset.hash };
    const isSilent = (name: string): boolean =>
      files.get(inputs.get(name)?.input ?? '')?.isSilent ?? true;
    const unreached = new Set(planned.map(({ name }) => name).filter(isSilent));
    return {
      read: (input) => readMoments(input, widths.get(input) ?? 0, files),
      data,
      plan: withUnreached(plan, unreached),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The float32 model whose weights are rounded. */
function sourceOfWeights(model: Model, { smoothing }: QuantizationPlan): Model {
  const twin = runPasses(model, [distinctNames, convertToFloat32]);
  return smoothing === undefined ? twin : applySmoothing(twin, smoothing);
}

/** Nothing is known of what a layer multiplies whose input no sample has reached, or left at zero. */
function withUnreached(plan: QuantizationPlan, unreached: ReadonlySet<string>): QuantizationPlan {
  if (unreached.size === 0) return plan;
  const layers = plan.layers.map((layer) =>
    unreached.has(layer.name) ? { ...layer, reason: NEVER_REACHED } : layer,
  );
  return { ...plan, layers };
}

async function readMoments(
  input: string,
  width: number,
  files: ReadonlyMap<string, GramFile>,
): Promise<InputMoments> {
  const file = files.get(input);
  if (file === undefined) return noMoments(width);
  const { rowCount, path, isDiagonal } = file;
  const sums = elementsFromBytes('float32', await readFile(path)) as Float32Array;
  return isDiagonal ? { width, rowCount, squares: sums } : momentsOfGram(width, rowCount, sums);
}
