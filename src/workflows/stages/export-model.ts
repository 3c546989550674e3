import { chmod, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type Manifest, writeManifest } from '../../artifact/manifest.ts';
import { copyCompanions, type ModelOnDisk, openModelOnDisk } from '../../artifact/model-on-disk.ts';
import { openOrigin } from '../../artifact/origin.ts';
import type { ExportResult } from '../../artifact/results.ts';
import type { CalibrationFile } from '../../calibrate/calibration-file.ts';
import { UnsupportedError } from '../../errors.ts';
import { parseQuantizationFile } from '../../quantize/quantization-file.ts';
import type { QuantizationPlan } from '../../quantize/quantization-plan.ts';
import { chooseDevice } from '../../runners/devices.ts';
import { openModel, saveModel } from '../../storage/model-file.ts';
import { makeTemporaryFolder, removeTemporaryFolder } from '../../storage/temporary-folder.ts';
import { writeFileAtomic } from '../../storage/write-file-atomic.ts';
import type { Finding } from '../../targets/finding.ts';
import { applyQuantization } from '../../targets/onnx/apply.ts';
import {
  ONNXRUNTIME_LOWERING,
  TENSORRT_LOWERING,
  TENSORRT_TWIN_LOWERING,
} from '../../targets/onnx/lowering.ts';
import { onnxFileName } from '../../targets/onnx/onnx-file-name.ts';
import type { ShapeRanges } from '../../targets/tensorrt/build-script.ts';
import { lintQdq } from '../../targets/tensorrt/lint-qdq.ts';
import {
  TENSORRT_FILES,
  type TensorrtFile,
  toFloat32ScaleTwin,
  writeTensorrt,
} from '../../targets/tensorrt/write.ts';
import { createWeightWorkerPool, type WeightWorkerPool } from '../../workers/weight-worker-pool.ts';
import type { Reporter } from '../progress.ts';
import { type DataChoice, openData } from '../project/open-data.ts';
import { checkArtifact } from '../proof/check-artifact.ts';
import { requireLoadable } from '../proof/load-artifact.ts';
import { buildEngine } from './build-engine.ts';
import { namesWithColon, onnxruntimeTableFiles, tensorrtCacheFile } from './calibration-tables.ts';
import { CHECK_FILES, writeCheck } from './check-into.ts';
import { collectMoments } from './collect-moments.ts';
import { engineShapes, needsSamples, parseShapes, sampleShapes } from './engine-shapes.ts';
import { withExactScales } from './exact-scales.ts';
import { warnOfPlan } from './plan-notes.ts';
import { excludedLayers } from './quantize-model.ts';

/** What to write, for whom, and the data it is checked with. */
export interface ExportRequest {
  readonly source: ModelOnDisk;
  /** The export that the artifact is checked against, where `source` was pruned from it. */
  readonly origin?: ModelOnDisk | undefined;
  /** `quantization.json` that names the layers and ranges. */
  readonly plan: string;
  /** Statistics behind the plan, for calibration tables; none for weight-only recipes. */
  readonly calibration?: CalibrationFile | undefined;
  readonly target: ExportResult['target'];
  /** `--shape` options. */
  readonly shape: readonly string[];
  readonly choice: DataChoice;
}

/** What one target adds to the common work. */
interface Written {
  /** The model to run on the target, relative to the folder. */
  readonly artifact: string;
  readonly files: readonly string[];
  readonly findings: readonly Finding[];
  /** The model that stands in for the artifact on this machine, and what it is called. */
  readonly checked: { readonly path: string; readonly label: string };
  readonly verified: Manifest['verified'];
  readonly notVerified: readonly string[];
}

/**
 * Writes the artifact of a target into a folder, checks it against the source on held-out data, and
 * leaves `manifest.json` and the check beside it. Throws UnsupportedError when the target's lint
 * finds an error, and whatever writing and checking throw.
 */
export async function exportInto(
  folder: string,
  request: ExportRequest,
  reporter: Reporter,
): Promise<ExportResult> {
  const { source, target, choice } = request;
  const read = parseQuantizationFile(await readFile(request.plan, 'utf8'), request.plan);
  const warnings = warnOfPlan(read.plan, reporter);
  const scratch = await makeTemporaryFolder('autoglm-export-');
  const workers = createWeightWorkerPool();
  try {
    const plan =
      target === 'tensorrt'
        ? await withExactScales(source.model, read.plan, workers, reporter)
        : read.plan;
    const context = { folder, scratch, request, plan, workers };
    const written =
      target === 'tensorrt'
        ? await exportTensorrt(context, reporter)
        : await exportOnnx(context, reporter);
    const companions = await copyCompanions(source, folder);
    const origin = request.origin ?? (await openOrigin(source));
    const dataset = await openData(choice, origin);
    const check = await checkArtifact(
      {
        source: origin,
        artifact: await openModelOnDisk(written.checked.path),
        dataset,
        device: await chooseDevice('cpu'),
        requestedDevice: 'cpu',
        gates: {},
        seed: choice.seed ?? 0,
        plan,
        ...(target === 'tensorrt' && { lowering: TENSORRT_TWIN_LOWERING }),
        label: written.checked.label,
        measureLatency: target === 'onnx',
        notVerified: written.notVerified,
      },
      reporter,
    );
    await writeCheck(folder, check);
    const manifest = await writeManifest(
      folder,
      {
        target: target === 'tensorrt' ? 'tensorrt' : 'onnxruntime',
        artifact: written.artifact,
        source,
        data: { path: choice.data, sha256: dataset.hash },
        recipe: plan.recipe.name,
        layers: plan.totals.layers,
        excluded: excludedLayers(
          plan,
          target === 'tensorrt' ? TENSORRT_LOWERING : ONNXRUNTIME_LOWERING,
        ),
        notes: [
          ...source.notes,
          ...warnings,
          ...written.findings.map(({ rule, node, message }) => `${rule} ${node}: ${message}`),
        ],
        verified: written.verified,
        notVerified: [...written.notVerified],
        ...(target === 'onnx' && check.saturation !== null && { saturation: check.saturation }),
      },
      [...written.files, ...companions, ...Object.values(CHECK_FILES)],
    );
    return { schema: 'autoglm.export/1', target, manifest, check };
  } finally {
    await workers.close();
    await removeTemporaryFolder(scratch);
  }
}

interface ExportContext {
  readonly folder: string;
  readonly scratch: string;
  readonly request: ExportRequest;
  readonly plan: QuantizationPlan;
  readonly workers: WeightWorkerPool;
}

async function exportTensorrt(context: ExportContext, reporter: Reporter): Promise<Written> {
  const { folder, scratch, request, plan, workers } = context;
  const { source, calibration } = request;
  const hasCache = calibration !== undefined && namesWithColon(calibration).length === 0;
  const names = await saveFiles(
    folder,
    writeTensorrt(source.model, plan, {
      shapes: await shapesOf(request, reporter),
      ...(hasCache && { calibrationCache: String(tensorrtCacheFile(calibration).content) }),
      ...(calibration !== undefined && { tables: onnxruntimeTableFiles(calibration) }),
      kernel: workers,
    }),
  );
  const models = names.filter((name) => name.endsWith('.onnx'));
  for (const name of models) await requireLoadable(join(folder, name));
  const findings = await lintQdq(await openModel(join(folder, TENSORRT_FILES.quantized)));
  const refused = findings.filter(({ severity }) => severity === 'error');
  if (refused.length > 0) {
    const [first] = refused;
    throw new UnsupportedError(
      `tensorrt: ${first?.node}: ${first?.message} (rule ${first?.rule}, ${refused.length} such findings).`,
    );
  }
  const twin = join(scratch, 'tensorrt-twin.onnx');
  await saveModel(toFloat32ScaleTwin(source.model, plan, workers), twin);
  const engine = await buildEngine(folder, reporter);
  return {
    artifact: TENSORRT_FILES.quantized,
    files: [...names, ...engine.files],
    findings,
    checked: { path: twin, label: `${plan.recipe.name} tensorrt twin` },
    verified: [
      {
        runner: 'onnxruntime',
        device: 'cpu',
        seen: `${models.join(' and ')} ${models.length === 1 ? 'loads' : 'load'}, with graph optimisation off`,
      },
      {
        runner: 'onnxruntime',
        device: 'cpu',
        seen: 'float32 twin with the same INT8 weights and float16-rounded scales (check.json)',
      },
      ...engine.verified,
    ],
    notVerified: engine.notVerified,
  };
}

/** The shapes that were asked for, and those of the samples where neither they nor names tell an axis. */
async function shapesOf(
  { source, shape, choice }: ExportRequest,
  reporter: Reporter,
): Promise<ShapeRanges> {
  const given = parseShapes(shape, source.model);
  if (!needsSamples(source.model, given)) return engineShapes(source.model, given);
  const seen = await sampleShapes(source, choice);
  const shapes = engineShapes(source.model, given, seen);
  for (const [name, { min, opt, max }] of shapes) {
    if (given.has(name)) continue;
    const range = [min, opt, max].map((dims) => dims.join('x')).join('..');
    reporter.note(`${name}: ${range}, as in the samples; --shape says otherwise`);
  }
  return shapes;
}

async function exportOnnx(
  { folder, request, plan, workers }: ExportContext,
  reporter: Reporter,
): Promise<Written> {
  const { source, choice } = request;
  const isInt4 = plan.layers.some(({ scheme }) => scheme === 'w4a16');
  const name = join('onnx', onnxFileName(isInt4 ? 'q4' : 'q8'));
  const lowering = ONNXRUNTIME_LOWERING;
  const moments = await collectMoments({ source, plan, lowering, choice }, reporter);
  try {
    const { read } = moments;
    warnOfPlan(moments.plan, reporter, plan);
    const options = { kernel: workers, ...(read !== undefined && { moments: read }) };
    await saveModel(applyQuantization(source.model, plan, options), join(folder, name), {
      // transformers.js looks for the data by this name, whatever the source called its own.
      dataFileName: `${basename(name)}_data`,
    });
  } finally {
    await moments.close();
  }
  await requireLoadable(join(folder, name));
  const written = await openModelOnDisk(join(folder, name));
  return {
    artifact: name,
    files: written.files.map(({ file }) => join('onnx', file)),
    findings: [],
    checked: { path: written.path, label: plan.recipe.name },
    verified: [{ runner: 'onnxruntime', device: 'cpu', seen: 'accuracy and latency (check.json)' }],
    notVerified: [],
  };
}

async function saveFiles(
  folder: string,
  files: readonly TensorrtFile[],
): Promise<readonly string[]> {
  const names: string[] = [];
  for (const file of files) {
    const path = join(folder, file.name);
    if ('model' in file) {
      await saveModel(file.model, path, { dataFileName: `${file.name}.data` });
      const saved = await openModel(path);
      names.push(file.name, ...saved.storage.files);
    } else {
      await writeFileAtomic(path, file.content);
      if (file.isExecutable === true) await chmod(path, 0o755);
      names.push(file.name);
    }
  }
  return names;
}
