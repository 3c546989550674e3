import { join } from 'node:path';
import { type Manifest, type ManifestDraft, writeManifest } from '../../artifact/manifest.ts';
import { copyCompanions, type ModelOnDisk, openModelOnDisk } from '../../artifact/model-on-disk.ts';
import { openOrigin } from '../../artifact/origin.ts';
import type { ExportResult } from '../../artifact/results.ts';
import type { CalibrationFile } from '../../calibrate/calibration-file.ts';
import type { Dataset } from '../../calibrate/dataset.ts';
import type { CheckResult } from '../../check/check-result.ts';
import type { Model } from '../../ir/model.ts';
import type { QuantizationPlan } from '../../quantize/quantization-plan.ts';
import { chooseDevice } from '../../runners/devices.ts';
import { findRunner } from '../../runners/find-runner.ts';
import { RUNNERS } from '../../runners/index.ts';
import { weighFiles } from '../../storage/artifact.ts';
import { makeTemporaryFolder, removeTemporaryFolder } from '../../storage/temporary-folder.ts';
import type { Finding } from '../../targets/finding.ts';
import type { ShapeRanges } from '../../targets/shapes.ts';
import type { Reporter } from '../progress.ts';
import { type DataChoice, openData } from '../project/open-data.ts';
import { type ForeignArtifact, runnerOf } from '../proof/artifact-check.ts';
import { checkArtifact } from '../proof/check-artifact.ts';
import { foreignArtifact } from '../proof/open-checked.ts';
import { calibrationTables } from './calibration-tables.ts';
import { CHECK_FILES, writeCheck } from './check-into.ts';
import type { ChosenTarget } from './choose-target.ts';
import { engineShapes, needsSamples, parseShapes, sampleShapes } from './engine-shapes.ts';
import { excludedLayers, warnOfPlan } from './plan-notes.ts';
import { type ArtifactRequest, type WrittenArtifact, writeArtifact } from './write-artifact.ts';

/** What to write, for whom, and the data it is checked with. */
export interface ExportRequest {
  readonly source: ModelOnDisk;
  /** The export that the artifact is checked against, where `source` was pruned from it. */
  readonly origin?: ModelOnDisk | undefined;
  /** Names the layers and ranges. */
  readonly plan: QuantizationPlan;
  /** The plan carried out for onnxruntime, where a stage has done so. */
  readonly quantized?: Model | undefined;
  /** Statistics behind the plan, for calibration tables; none for weight-only recipes. */
  readonly calibration?: CalibrationFile | undefined;
  readonly chosen: ChosenTarget;
  /** `--shape` options. */
  readonly shape: readonly string[];
  readonly choice: DataChoice;
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
  const { source, chosen, choice } = request;
  const warnings = warnOfPlan(request.plan, reporter);
  const scratch = await makeTemporaryFolder('autoglm-export-');
  try {
    const twinPath = join(scratch, `${chosen.target.id}-twin.onnx`);
    const written = await writeArtifact(
      folder,
      twinPath,
      await artifactRequest(request, reporter),
      reporter,
    );
    const companions = await copyCompanions(source, folder);
    const origin = request.origin ?? (await openOrigin(source));
    const dataset = await openData(choice, origin);
    const judged = await judgedArtifact(folder, twinPath, written);
    const check =
      typeof judged === 'string'
        ? null
        : await checkWritten(request, written, { origin, dataset, artifact: judged }, reporter);
    if (check !== null) await writeCheck(folder, check);
    const manifest = await writeManifest(
      folder,
      {
        ...describeArtifact(chosen, written, check ?? String(judged)),
        source,
        data: { path: choice.data, sha256: dataset.hash },
        notes: [...source.notes, ...warnings, ...written.findings.map(asNote)],
      },
      [...written.files, ...companions, ...(check === null ? [] : Object.values(CHECK_FILES))],
    );
    return { schema: 'autoglm.export/1', target: chosen.target.id, manifest, check };
  } finally {
    await removeTemporaryFolder(scratch);
  }
}

/** Returns what a target needs besides the plan: shapes, and tables. */
export async function artifactRequest(
  request: ExportRequest,
  reporter: Reporter,
): Promise<ArtifactRequest> {
  const { chosen, calibration } = request;
  return {
    ...request,
    shapes: chosen.writer.isShaped ? await shapesOf(request, reporter) : new Map(),
    tables: calibration === undefined ? undefined : calibrationTables(calibration),
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

/** What is run in place of the artifact or is it, or why nothing can be. */
async function judgedArtifact(
  folder: string,
  twinPath: string,
  { lowered, files }: WrittenArtifact,
): Promise<ModelOnDisk | ForeignArtifact | string> {
  if (lowered.twin !== undefined) return openModelOnDisk(twinPath);
  const { kind, entry } = lowered;
  if (kind === 'onnx') return openModelOnDisk(join(folder, entry));
  if (!RUNNERS.some(({ reads }) => reads.includes(kind))) {
    return 'no runtime that autoglm drives reads it: written, not run';
  }
  const read = await weighFiles(folder, lowered.read ?? files);
  const artifact = foreignArtifact({ kind, folder, entry, files: read });
  const reason = await artifact.runner.unavailable('cpu');
  return reason === undefined ? artifact : `${reason}: written, not run`;
}

async function checkWritten(
  { choice, chosen }: ExportRequest,
  { plan, lowered, notVerified }: WrittenArtifact,
  compared: {
    readonly origin: ModelOnDisk;
    readonly dataset: Dataset;
    readonly artifact: ModelOnDisk | ForeignArtifact;
  },
  reporter: Reporter,
): Promise<CheckResult> {
  const isTwin = lowered.twin !== undefined;
  return checkArtifact(
    {
      source: compared.origin,
      artifact: compared.artifact,
      dataset: compared.dataset,
      device: await chooseDevice('cpu', runnerOf(compared.artifact)),
      requestedDevice: 'cpu',
      gates: {},
      seed: choice.seed ?? 0,
      plan,
      whyFloat: chosen.writer.whyFloat,
      label: isTwin ? `${plan.recipe.name} ${chosen.target.id} twin` : plan.recipe.name,
      // A twin has the numbers of the artifact, not its speed.
      measureLatency: !isTwin,
      notVerified,
    },
    reporter,
  );
}

/** `judged` is the check, or why there is none. */
function describeArtifact(
  { target, writer }: ChosenTarget,
  { plan, lowered, verified, notVerified }: WrittenArtifact,
  judged: CheckResult | string,
): Omit<ManifestDraft, 'source' | 'data' | 'notes'> {
  const isTwin = lowered.twin !== undefined;
  const saturation = typeof judged === 'string' ? null : judged.saturation;
  return {
    target: target.id,
    artifact: lowered.entry,
    recipe: plan.recipe.name,
    layers: plan.totals.layers,
    excluded: excludedLayers(plan, writer.whyFloat),
    verified: [...verified, ...(isTwin ? [] : ranIn(lowered.kind, judged))],
    notVerified: [
      ...notVerified,
      ...(typeof judged === 'string' ? [`${target.id}: ${judged}`] : []),
      ...(isTwin ? [] : ownOnly(lowered.kind, judged)),
    ],
    ...(!isTwin && saturation !== null && { saturation }),
  };
}

/** A runtime that others wrote has run it. */
function ranIn(kind: string, judged: CheckResult | string): Manifest['verified'] {
  if (typeof judged === 'string' || !findRunner(kind).independent) return [];
  const seen = 'accuracy and latency (check.json)';
  return [{ runner: findRunner(kind).id, device: judged.device.id, seen }];
}

/** What our own evaluator agrees with nobody else has confirmed. */
function ownOnly(kind: string, judged: CheckResult | string): readonly string[] {
  if (typeof judged === 'string' || findRunner(kind).independent) return [];
  const { id } = findRunner(kind);
  return [`${kind}: evaluated by autoglm's own ${id} alone, not by a runtime that others wrote`];
}

function asNote({ rule, node, message }: Finding): string {
  return `${rule} ${node}: ${message}`;
}
