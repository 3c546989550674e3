import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ManifestDraft, writeManifest } from '../../artifact/manifest.ts';
import { copyCompanions, type ModelOnDisk, openModelOnDisk } from '../../artifact/model-on-disk.ts';
import type { QuantizeResult } from '../../artifact/results.ts';
import type { CalibrationFile } from '../../calibrate/calibration-file.ts';
import { UnsupportedError, UsageError } from '../../errors.ts';
import type { Model } from '../../ir/model.ts';
import { createWeightKernel } from '../../numerics/weight-kernel.ts';
import type { PlannedModel } from '../../quantize/plan-compression.ts';
import { quantizationFile, serializeQuantizationFile } from '../../quantize/quantization-file.ts';
import type { QuantizationPlan } from '../../quantize/quantization-plan.ts';
import { SEARCH_NAME, type SearchFile } from '../../quantize/search/search-file.ts';
import { whyNoIntegers } from '../../quantize/why-float.ts';
import { builtInRecipe, parseRecipe } from '../../recipe/load.ts';
import type { CalibratorName, Recipe } from '../../recipe/recipe.ts';
import { requireOnnxruntime } from '../../runners/onnxruntime/onnxruntime-package.ts';
import { writeFileAtomic } from '../../storage/write-file-atomic.ts';
import type { FusionAudit } from '../../targets/onnx/audit-fusion.ts';
import { integerLayers, type Lowering, loweringOf } from '../../targets/onnx/lowering.ts';
import type { Saturation } from '../../targets/onnx/saturation.ts';
import type { TargetWriter } from '../../targets/target.ts';
import type { Reporter } from '../progress.ts';
import type { DataChoice } from '../project/open-data.ts';
import { scanPairs } from '../proof/scan-pairs.ts';
import { verifySmoothing } from '../proof/verify-smoothing.ts';
import { type SearchRequest, searchPlan } from '../search/search-plan.ts';
import { findTarget } from './choose-target.ts';
import { collectMoments } from './collect-moments.ts';
import { fitPlan } from './fit-plan.ts';
import { oneKindWarnings } from './kinds-of-text.ts';
import { planModel } from './plan-model.ts';
import { excludedLayers, planWarnings, smoothingNote } from './plan-notes.ts';
import { sourceWarnings } from './source-warnings.ts';
import { fusionWarnings, writeQuantized } from './write-quantized.ts';

/** Names of what {@link quantizeInto} writes besides companions and external data. */
export const QUANTIZED_FILES = {
  model: 'model.onnx',
  plan: 'quantization.json',
} as const;

/** What to quantize, how, and what calibration saw. */
export interface QuantizeRequest {
  readonly source: ModelOnDisk;
  readonly recipe: Recipe;
  /** Absent for recipes that need no ranges. */
  readonly calibration: CalibrationFile | undefined;
  /** The data that the ranges come from, for the manifest. */
  readonly data?: { readonly path: string; readonly sha256: string } | undefined;
  /** The data that 4-bit weights are rounded by; needed by recipes that do so. */
  readonly choice?: DataChoice | undefined;
  /** A budget to search for; the plan is then the recipe's only where that holds. */
  readonly search?: SearchRequest | undefined;
}

/** Returns the recipe of a name or YAML file, with the settings that options put in their place. */
export async function loadRecipe(
  nameOrFile: string,
  overrides: {
    readonly activations?: 'float32' | 'float16' | undefined;
    readonly calibrator?: CalibratorName | undefined;
  } = {},
): Promise<Recipe> {
  const recipe = /\.ya?ml$/.test(nameOrFile)
    ? parseRecipe(await readRecipe(nameOrFile), nameOrFile)
    : builtInRecipe(nameOrFile);
  const { activations = recipe.activations.dtype, calibrator = recipe.activations.calibrator } =
    overrides;
  return { ...recipe, activations: { ...recipe.activations, dtype: activations, calibrator } };
}

async function readRecipe(path: string): Promise<string> {
  return readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(`${path}: the recipe cannot be read (${cause.code}). Check the path.`, {
      cause,
    });
  });
}

/**
 * Quantizes a model into a folder: `model.onnx`, `quantization.json`, companions and
 * `manifest.json`. The written model is read back and its layers looked for in the graph that
 * onnxruntime makes of it.
 */
export async function quantizeInto(
  folder: string,
  request: QuantizeRequest,
  reporter: Reporter,
): Promise<QuantizeResult> {
  const { source, recipe, choice } = request;
  const lowering = loweringOf(recipe);
  const writer = await findTarget(lowering.id).load();
  const { plan: exact, ranges, search } = await planFitted(request, writer, reporter);
  const path = join(folder, QUANTIZED_FILES.model);
  const moments = await collectMoments(
    { source, plan: exact, whyFloat: writer.whyFloat, roundsInt8: true, choice },
    reporter,
  );
  const { plan, fusion } = await writeQuantized(
    path,
    { source: source.model, plan: moments.plan, lowering, moments: moments.read },
    reporter,
  ).finally(moments.close);
  const companions = await copyCompanions(source, folder);
  await writeFileAtomic(
    join(folder, QUANTIZED_FILES.plan),
    serializeQuantizationFile(quantizationFile(plan, ranges, await source.sha256())),
  );
  if (search !== undefined) {
    await writeFileAtomic(join(folder, SEARCH_NAME), `${JSON.stringify(search, undefined, 2)}\n`);
  }
  for (const rule of unmatched(plan)) reporter.warn(`recipe ${recipe.name}: ${rule}.`);
  const written = await openModelOnDisk(path);
  const warnings = [
    ...planWarnings(plan),
    ...oneKindWarnings(source.model, plan, request.calibration),
    ...fusionWarnings({ plan, fusion }),
    ...sourceWarnings(source, written),
  ];
  const saturation = lowering.id === 'onnx' ? await warnOfPairs(written.model, reporter) : null;
  const manifest = await writeManifest(
    folder,
    {
      target: lowering.id,
      artifact: QUANTIZED_FILES.model,
      source,
      data: request.data ?? moments.data,
      recipe: recipe.name,
      layers: plan.totals.layers,
      excluded: excludedLayers(plan, writer.whyFloat),
      notes: [...source.notes, ...unmatched(plan), ...warnings],
      ...verification(fusion),
      ...(saturation !== null && { saturation }),
    },
    [
      QUANTIZED_FILES.model,
      QUANTIZED_FILES.plan,
      ...(search === undefined ? [] : [SEARCH_NAME]),
      ...written.model.storage.files,
      ...companions,
    ],
  );
  return {
    schema: 'autoglm.quantize/1',
    plan,
    warnings,
    manifest,
    fusion,
    saturation,
    ...(search !== undefined && { search }),
  };
}

function unmatched({ unmatchedRules }: QuantizationPlan): readonly string[] {
  return unmatchedRules.map((rule) => `${rule} matched no layer`);
}

/** autoglm's own layers are safe; ones that were INT8 in the source may not be. */
async function warnOfPairs(written: Model, reporter: Reporter): Promise<Saturation> {
  const { saturation, warning } = await scanPairs(written);
  if (warning !== undefined) reporter.warn(warning);
  return saturation;
}

/**
 * Throws UnsupportedError when float16 activations, which are for TensorRT, leave every layer float, or
 * when the model has none: they are kept as they are, not made.
 */
export function requireIntegers(plan: QuantizationPlan, lowering: Lowering): void {
  if (lowering.weightOnly !== 'float') return;
  const layers = integerLayers(plan, lowering);
  if (layers.length === 0) {
    const obstacles = whyNoIntegers(plan);
    throw new UnsupportedError(
      `recipe ${plan.recipe.name}: float16 activations are for TensorRT, where weight-only layers stay ` +
        (obstacles === undefined
          ? 'float (got no layer with INT8 activations). Use float32 activations, or recipe w8a8.'
          : `float (got no layer with INT8 activations: ${obstacles}). Use float32 activations.`),
    );
  }
  if (layers.some(({ weight }) => weight.dataType === 'float16')) return;
  throw new UnsupportedError(
    `recipe ${plan.recipe.name}: float16 activations are kept, not made (got ${layers[0]!.weight.dataType} ` +
      `weights in all ${layers.length} layers with INT8 activations, expected a float16 model). ` +
      'Export the model in float16, or use float32 activations.',
  );
}

/** The plan as the form that it is written in can hold it, its folds verified. */
async function planFitted(
  request: QuantizeRequest,
  writer: TargetWriter,
  reporter: Reporter,
): Promise<PlannedModel & { readonly search?: SearchFile }> {
  const { source, recipe, choice } = request;
  const found = await planWithin(request, reporter);
  const lowering = loweringOf(recipe);
  const plan = await fitPlan(
    { id: lowering.id, writer },
    { model: source.model, plan: found.plan },
    createWeightKernel(),
    reporter,
  );
  for (const note of [...source.notes, smoothingNote(plan)]) {
    if (note !== undefined) reporter.note(note);
  }
  if (plan.smoothing !== undefined) await verifySmoothing(source, plan.smoothing, choice);
  requireIntegers(plan, lowering);
  return { ...found, plan };
}

/** The recipe's plan or, with a budget, the one that a search finds in it. */
async function planWithin(
  request: QuantizeRequest,
  reporter: Reporter,
): Promise<PlannedModel & { readonly search?: SearchFile }> {
  const planned = await planModel(request);
  if (request.search === undefined) return planned;
  const { plan } = planned;
  const found = await searchPlan({ source: request.source, plan }, request.search, reporter);
  return { ...planned, ...found };
}

function verification(
  fusion: FusionAudit | null,
): Pick<ManifestDraft, 'verified' | 'notVerified' | 'fusion'> {
  const { version } = requireOnnxruntime();
  const runner = `onnxruntime ${version}`;
  if (fusion === null) {
    return {
      verified: [{ runner, device: 'cpu', seen: 'loads, with graph optimisation off' }],
      notVerified: ['tensorrt: float16 scales are for TensorRT, which was not run. Use export.'],
    };
  }
  return {
    fusion,
    verified: [
      {
        runner,
        device: 'cpu',
        seen: `loads; ${fusion.fused} of ${fusion.planned} quantized layers run as integer kernels`,
      },
    ],
    notVerified: [],
  };
}
