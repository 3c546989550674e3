import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import { feedHints } from '../../calibrate/feed-hints.ts';
import { feedInputs } from '../../calibrate/feed-input.ts';
import { asFed, makeFeeds } from '../../calibrate/make-feeds.ts';
import type { Dataset, Sample } from '../../calibrate/sample.ts';
import { compareAccuracy, type PairedSample } from '../../check/accuracy.ts';
import type { Accuracy, CheckResult, FallbackNode } from '../../check/check-result.ts';
import { completeCheck } from '../../check/complete-check.ts';
import { rangeWarning } from '../../check/range-check.ts';
import { compareSizes } from '../../check/sizes.ts';
import type { Model } from '../../ir/model.ts';
import { onnxruntimeRunner } from '../../runners/onnxruntime/onnxruntime-runner.ts';
import { findPlacement } from '../../runners/onnxruntime/placement.ts';
import type { Session } from '../../runners/runner.ts';
import { entryPath } from '../../storage/artifact.ts';
import { openModel } from '../../storage/model-file.ts';
import { makeScratchFolder } from '../../storage/scratch-folder.ts';
import { removeTemporaryFolder } from '../../storage/temporary-folder.ts';
import { findQuantized } from '../../structure/find-quantized.ts';
import type { FusionAudit } from '../../targets/onnx/audit-fusion.ts';
import type { Feeds } from '../../values/tensor-value.ts';
import type { Reporter } from '../progress.ts';
import { type ArtifactCheck, onnxOf, runnerOf, sourceDevice } from './artifact-check.ts';
import { auditFile } from './audit-file.ts';
import { type BranchWatch, watchBranches } from './branches-taken.ts';
import { checkRanges } from './check-ranges.ts';
import { describeCheck } from './describe-check.ts';
import { runnableFile, saveFloat32Twin } from './float32-twin.ts';
import { measureScenarios, type ScenarioTimes } from './measure-scenarios.ts';
import { countParameters, labelOf } from './model-label.ts';
import { scanPairs } from './scan-pairs.ts';
import { warnOfCopies } from './warn-of-copies.ts';

/**
 * Runs artifact and source in processes of their own on the held-out samples and returns what was
 * found, gates judged. Throws UnavailableError, FormatError or UnsupportedError of the runner.
 */
export async function checkArtifact(
  check: ArtifactCheck,
  reporter: Reporter,
): Promise<CheckResult> {
  const folder = await makeScratchFolder(check.source.model);
  try {
    const { accuracy, memory, sides } = await measureAccuracy(check, folder, reporter);
    const first = await firstSample(check.dataset);
    const { latency, kernelTimes } = check.measureLatency
      ? await timeScenarios(check, first, folder, reporter)
      : { latency: [], kernelTimes: null };
    const fusion = await auditArtifact(check);
    const onnx = onnxOf(check.artifact);
    const pairs = onnx && (await scanPairs(onnx.model));
    const ranges =
      onnx === undefined || check.device.device !== 'cpu'
        ? null
        : await checkRanges(onnx, check.dataset, (sample) => sides.artifact(sample).feeds);
    const beyond = ranges === null ? undefined : rangeWarning(ranges);
    const warnings = [
      ...sides.branches.oneSided(),
      ...(pairs?.warning === undefined ? [] : [pairs.warning]),
      ...(beyond === undefined ? [] : [beyond]),
    ];
    const fallbackNodes = await findFallback(check, sides.artifact(first).feeds);
    const sizes = compareSizes(
      { files: check.source.files, parameters: sides.parameters, peakMemoryBytes: memory.source },
      {
        files: check.artifact.files,
        parameters: sides.parameters,
        peakMemoryBytes: memory.artifact,
      },
    );
    return completeCheck(
      {
        ...(await describeCheck(check, accuracy.samples)),
        accuracy,
        latency,
        kernelTimes,
        sizes,
        fusion,
        saturation: pairs?.saturation ?? null,
        ranges,
        warnings,
        fallbackNodes,
        notVerified: check.notVerified,
      },
      check.gates,
    );
  } finally {
    await removeTemporaryFolder(folder);
  }
}

interface Sides {
  readonly parameters: number;
  readonly branches: BranchWatch;
  source(sample: Sample): { readonly feeds: Feeds };
  artifact(sample: Sample): { readonly feeds: Feeds };
}

function openSides({ source, artifact }: ArtifactCheck, session: Session): Sides {
  const hints = feedHints(source.model);
  const onnx = onnxOf(artifact);
  const inputs = {
    source: feedInputs(source.model.graph),
    artifact: onnx === undefined ? session.inputs : feedInputs(onnx.model.graph),
  };
  const branches = watchBranches(source.model);
  return {
    parameters: countParameters(source.model),
    branches,
    source: (sample) => {
      const feeds = makeFeeds(inputs.source, sample, hints);
      branches.see(feeds);
      return { feeds };
    },
    artifact: (sample) => ({ feeds: makeFeeds(inputs.artifact, sample, hints) }),
  };
}

async function measureAccuracy(
  check: ArtifactCheck,
  folder: string,
  reporter: Reporter,
): Promise<{ accuracy: Accuracy; memory: { source: number; artifact: number }; sides: Sides }> {
  const { device } = check.device;
  const runner = runnerOf(check.artifact);
  const total = await check.dataset.count('heldOut');
  const sourceFile = await runnableFile(check.source, folder, warnOfCopies(reporter));
  const source = await onnxruntimeRunner.load(sourceFile, { device: sourceDevice(check) });
  try {
    const artifact = await runner.load(entryPath(check.artifact), { device });
    try {
      const sides = openSides(check, artifact);
      const accuracy = await compareAccuracy({
        source,
        artifact,
        samples: pairSamples(check.dataset, sides),
        name: check.source.path,
        onSample: (done) =>
          reporter.progress({ task: 'check accuracy', done, total, unit: 'samples' }),
      });
      const memory = {
        source: await source.peakMemoryBytes(),
        artifact: await artifact.peakMemoryBytes(),
      };
      return { accuracy, memory, sides };
    } finally {
      await artifact.close();
    }
  } finally {
    await source.close();
  }
}

async function* pairSamples(dataset: Dataset, sides: Sides): AsyncIterable<PairedSample> {
  for await (const sample of dataset.samples('heldOut')) {
    const source = sides.source(sample).feeds;
    yield { sample: asFed(sample, source), source, artifact: sides.artifact(sample).feeds };
  }
}

async function firstSample(dataset: Dataset): Promise<Sample> {
  for await (const sample of dataset.samples('heldOut')) return sample;
  throw new Error('the held-out split has no sample');
}

async function timeScenarios(
  check: ArtifactCheck,
  sample: Sample,
  folder: string,
  reporter: Reporter,
): Promise<ScenarioTimes> {
  const { model, path } = check.source;
  const twin = await saveFloat32Twin(check.source, folder, warnOfCopies(reporter));
  const isTwin = twin !== path;
  const { artifact } = check;
  const onnx = onnxOf(artifact);
  const whole = {
    path: entryPath(artifact),
    model: onnx?.model,
    runner: onnx === undefined ? runnerOf(artifact) : undefined,
  };
  const timed =
    isTwin && onnx !== undefined ? await timedTwin(onnx, check, folder, reporter) : whole;
  const isFloat = timed !== undefined && timed.path !== whole.path;
  return measureScenarios(
    {
      baseline: { path: twin, model: isTwin ? await openModel(twin) : model },
      artifact: timed ?? whole,
      baselineLabel: isTwin ? `float32 twin${isFloat ? ' of each' : ''}` : labelOf(model),
      sample,
      device: check.device.device,
      hints: feedHints(model),
      seed: check.seed,
      contextLength: check.contextLength,
    },
    reporter,
  );
}

/**
 * A float artifact in 16 bits is timed in float32 like its source: on the CPU onnxruntime has no kernels for 16 bits,
 * and would time Casts.
 */
async function timedTwin(
  artifact: ModelOnDisk,
  { device }: ArtifactCheck,
  folder: string,
  reporter: Reporter,
): Promise<{ readonly path: string; readonly model: Model } | undefined> {
  if (device.device !== 'cpu' || findQuantized(artifact.model).length > 0) return undefined;
  const own = join(folder, 'artifact');
  await mkdir(own, { recursive: true });
  const path = await saveFloat32Twin(artifact, own, warnOfCopies(reporter));
  return path === artifact.path ? undefined : { path, model: await openModel(path) };
}

async function auditArtifact(check: ArtifactCheck): Promise<FusionAudit | null> {
  const { plan, device, artifact, whyFloat } = check;
  const onnx = onnxOf(artifact);
  if (onnx === undefined || plan === undefined || device.device !== 'cpu') return null;
  const { parts: _, ...fusion } = await auditFile(onnx.path, plan, whyFloat);
  return fusion;
}

/** Shape arithmetic stays on the CPU by design; what counts is float work that was meant for the device. */
async function findFallback(check: ArtifactCheck, feeds: Feeds): Promise<readonly FallbackNode[]> {
  const { device } = check.device;
  const onnx = onnxOf(check.artifact);
  if (onnx === undefined || device === 'cpu') return [];
  const placement = await findPlacement(onnx.path, { device }, feeds);
  return placement.elsewhere.map(({ node, opType, provider }) => ({
    node,
    opType,
    device: provider,
  }));
}
