import { join } from 'node:path';
import type { Manifest } from '../../artifact/manifest.ts';
import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import { UnsupportedError } from '../../errors.ts';
import type { Model } from '../../ir/model.ts';
import type { QuantizationPlan } from '../../quantize/quantization-plan.ts';
import { COMPILERS } from '../../runners/index.ts';
import { openModel, saveModel } from '../../storage/model-file.ts';
import type { Finding } from '../../targets/finding.ts';
import { takeBackUnfused } from '../../targets/onnx/take-back-unfused.ts';
import type { ShapeRanges } from '../../targets/shapes.ts';
import type { CalibrationTables, Lowered } from '../../targets/target.ts';
import { createWeightWorkerPool } from '../../workers/weight-worker-pool.ts';
import type { Reporter } from '../progress.ts';
import type { DataChoice } from '../project/open-data.ts';
import { auditFile } from '../proof/audit-file.ts';
import { requireLoadable } from '../proof/load-artifact.ts';
import type { ChosenTarget } from './choose-target.ts';
import { collectMoments } from './collect-moments.ts';
import { fitPlan } from './fit-plan.ts';
import { warnOfPlan } from './plan-notes.ts';
import { saveArtifact } from './save-artifact.ts';

/** What an artifact is written from. */
export interface ArtifactRequest {
  readonly source: ModelOnDisk;
  readonly plan: QuantizationPlan;
  readonly chosen: ChosenTarget;
  readonly shapes: ShapeRanges;
  readonly tables: CalibrationTables | undefined;
  readonly choice: DataChoice;
  /** The plan carried out for onnxruntime, where a stage has done so. */
  readonly quantized?: Model | undefined;
}

/** An artifact in its folder, and what is known of it without having run it. */
export interface WrittenArtifact {
  readonly lowered: Lowered;
  /** As the target holds it. */
  readonly plan: QuantizationPlan;
  /** Relative to the folder. */
  readonly files: readonly string[];
  readonly findings: readonly Finding[];
  readonly verified: Manifest['verified'];
  readonly notVerified: readonly string[];
}

/**
 * Writes an artifact into `folder` and the ONNX twin that stands in for it, where it has one, to `twinPath`.
 * Its ONNX files are loaded, its entry is linted and, where a compiler for it is on this machine, compiled.
 * Throws UnsupportedError when lint finds an error, and what lowering and loading throw.
 */
export async function writeArtifact(
  folder: string,
  twinPath: string,
  request: ArtifactRequest,
  reporter: Reporter,
): Promise<WrittenArtifact> {
  const { source, chosen } = request;
  const workers = createWeightWorkerPool();
  try {
    const named = { id: chosen.target.id, writer: chosen.writer };
    const plan = await fitPlan(
      named,
      { model: source.model, plan: request.plan },
      workers,
      reporter,
    );
    const saved = await saveFused(folder, { ...request, plan }, workers, reporter);
    const { lowered, files } = saved;
    const models = lowered.files.flatMap((file) => ('model' in file ? [file.name] : []));
    const findings = await lint(folder, chosen, lowered);
    if (lowered.twin !== undefined) await saveModel(lowered.twin.model, twinPath);
    const compiled = await compile(folder, lowered, reporter);
    return {
      ...saved,
      files: [...files, ...(compiled?.files ?? [])],
      findings,
      verified: [...loadedNote(models, lowered), ...(compiled?.verified ?? [])],
      notVerified: compiled?.notVerified ?? [],
    };
  } finally {
    await workers.close();
  }
}

type Saved = Pick<WrittenArtifact, 'lowered' | 'plan' | 'files'>;

/** An artifact for onnxruntime is written once more without the layers that did not fuse there. */
async function saveFused(
  folder: string,
  request: ArtifactRequest,
  workers: ReturnType<typeof createWeightWorkerPool>,
  reporter: Reporter,
): Promise<Saved> {
  const { source, plan, quantized } = request;
  const saved = await saveOnce(folder, request, workers, reporter);
  if (saved.lowered.kind !== 'onnx' || quantized !== undefined) return saved;
  const fusion = await auditFile(
    join(folder, saved.lowered.entry),
    saved.plan,
    request.chosen.writer.whyFloat,
  );
  const left = takeBackUnfused(source.model, saved.plan, fusion);
  if (left === saved.plan) return saved;
  reporter.note(
    `${fusion.unfused.length} layers did not fuse in onnxruntime: written again without them.`,
  );
  warnOfPlan(left, reporter, plan);
  return saveOnce(folder, { ...request, plan: left }, workers, reporter);
}

async function saveOnce(
  folder: string,
  request: ArtifactRequest,
  workers: ReturnType<typeof createWeightWorkerPool>,
  reporter: Reporter,
): Promise<Saved> {
  const { source, chosen, shapes, tables, choice, quantized } = request;
  const { whyFloat, roundsInt8 = false } = chosen.writer;
  const moments = await collectMoments(
    {
      source,
      plan: request.plan,
      whyFloat: quantized === undefined ? whyFloat : isDone,
      roundsInt8,
      choice,
    },
    reporter,
  );
  try {
    const { plan, read } = moments;
    warnOfPlan(plan, reporter, request.plan);
    const lowered = chosen.writer.lower({
      model: source.model,
      plan,
      options: chosen.options,
      shapes,
      kernel: workers,
      moments: read,
      tables,
      quantized,
    });
    const files = await saveArtifact(folder, lowered.files);
    for (const file of lowered.files) {
      if ('model' in file) await requireLoadable(join(folder, file.name));
    }
    return { lowered, plan, files };
  } finally {
    await moments.close();
  }
}

function isDone(): string {
  return 'quantized already';
}

async function lint(
  folder: string,
  { target, writer }: ChosenTarget,
  lowered: Lowered,
): Promise<readonly Finding[]> {
  if (writer.lint === undefined) return lowered.findings ?? [];
  const linted = await writer.lint(await openModel(join(folder, lowered.entry)));
  const findings = [...(lowered.findings ?? []), ...linted];
  const refused = findings.filter(({ severity }) => severity === 'error');
  const [first] = refused;
  if (first === undefined) return findings;
  throw new UnsupportedError(
    `${target.id}: ${first.node}: ${first.message} (rule ${first.rule}, ${refused.length} such findings).`,
  );
}

async function compile(folder: string, { kind, compiled }: Lowered, reporter: Reporter) {
  const compiler = COMPILERS.find(({ compiles }) => compiles === kind);
  if (compiler === undefined || compiled === undefined) return undefined;
  return compiler.compile(folder, compiled, (text) => reporter.note(text));
}

/** Loading says something of its own where the artifact itself is not what is checked. */
function loadedNote(models: readonly string[], { twin }: Lowered): Manifest['verified'] {
  if (twin === undefined || models.length === 0) return [];
  const load = models.length === 1 ? 'loads' : 'load';
  return [
    {
      runner: 'onnxruntime',
      device: 'cpu',
      seen: `${models.join(' and ')} ${load}, with graph optimisation off`,
    },
    { runner: 'onnxruntime', device: 'cpu', seen: `${twin.description} (check.json)` },
  ];
}
