import { mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import { feedInputs } from '../../calibrate/feed-input.ts';
import { asFed, makeFeeds } from '../../calibrate/make-feeds.ts';
import type { Dataset, Sample } from '../../calibrate/sample.ts';
import { compareAccuracy, type PairedSample } from '../../check/accuracy.ts';
import type { Accuracy, CheckResult, FallbackNode } from '../../check/check-result.ts';
import { completeCheck } from '../../check/complete-check.ts';
import type { Gates } from '../../check/gates.ts';
import { compareSizes } from '../../check/sizes.ts';
import type { Model } from '../../ir/model.ts';
import type { PlannedLayer, QuantizationPlan } from '../../quantize/quantization-plan.ts';
import { type DeviceChoice, probeDevices } from '../../runners/devices.ts';
import { onnxruntimeRunner } from '../../runners/onnxruntime/onnxruntime-runner.ts';
import { findPlacement } from '../../runners/onnxruntime/placement.ts';
import { openModel } from '../../storage/model-file.ts';
import { makeScratchFolder } from '../../storage/scratch-folder.ts';
import { removeTemporaryFolder } from '../../storage/temporary-folder.ts';
import { findQuantized } from '../../structure/find-quantized.ts';
import type { FusionAudit } from '../../targets/onnx/audit-fusion.ts';
import type { Feeds } from '../../values/tensor-value.ts';
import { VERSION } from '../../version.ts';
import type { Reporter } from '../progress.ts';
import { feedHints } from '../project/open-data.ts';
import { auditFile } from './audit-file.ts';
import { type BranchWatch, watchBranches } from './branches-taken.ts';
import { runnableFile, saveFloat32Twin } from './float32-twin.ts';
import { measureScenarios, type ScenarioTimes } from './measure-scenarios.ts';
import { countParameters, labelOf } from './model-label.ts';
import { scanPairs } from './scan-pairs.ts';
import { warnOfCopies } from './warn-of-copies.ts';

/** What is compared, where, and how it is judged. */
export interface ArtifactCheck {
  readonly source: ModelOnDisk;
  readonly artifact: ModelOnDisk;
  readonly dataset: Dataset;
  readonly device: DeviceChoice;
  readonly requestedDevice: string;
  readonly gates: Gates;
  readonly seed: number;
  /** What the artifact was made by; its layers are then looked for in the optimised graph. */
  readonly plan?: QuantizationPlan | undefined;
  /** Why a planned layer was not written as integers; as in the form for onnxruntime when absent. */
  readonly whyFloat?: ((layer: PlannedLayer) => string | undefined) | undefined;
  /** In words a table has room for: `w8a8`. */
  readonly label: string;
  readonly measureLatency: boolean;
  /** Tokens that are timed, and the past of the decode step; 128 when absent. */
  readonly contextLength?: number | undefined;
  /** Runtimes the artifact is meant for that did not run here. */
  readonly notVerified: readonly string[];
}

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
    const sides = await openSides(check);
    const { accuracy, memory } = await measureAccuracy(check, sides, folder, reporter);
    const first = await firstSample(check.dataset);
    const { latency, kernelTimes } = check.measureLatency
      ? await timeScenarios(check, first, folder, reporter)
      : { latency: [], kernelTimes: null };
    const fusion = await auditArtifact(check);
    const { saturation, warning } = await scanPairs(check.artifact.model);
    const warnings = [...sides.branches.oneSided(), ...(warning === undefined ? [] : [warning])];
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
        saturation,
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

async function openSides({ source, artifact }: ArtifactCheck): Promise<Sides> {
  const hints = feedHints(source.model);
  const inputs = {
    source: feedInputs(source.model.graph),
    artifact: feedInputs(artifact.model.graph),
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
  sides: Sides,
  folder: string,
  reporter: Reporter,
): Promise<{ accuracy: Accuracy; memory: { source: number; artifact: number } }> {
  const { device } = check.device;
  const total = await check.dataset.count('heldOut');
  const sourceFile = await runnableFile(check.source, folder, warnOfCopies(reporter));
  const source = await onnxruntimeRunner.load(sourceFile, { device });
  try {
    const artifact = await onnxruntimeRunner.load(check.artifact.path, { device });
    try {
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
      return { accuracy, memory };
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
  const timed = isTwin ? await timedArtifact(check, folder, reporter) : check.artifact;
  const isFloat = timed !== check.artifact;
  return measureScenarios(
    {
      baseline: { path: twin, model: isTwin ? await openModel(twin) : model },
      artifact: timed,
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
async function timedArtifact(
  { artifact, device }: ArtifactCheck,
  folder: string,
  reporter: Reporter,
): Promise<{ readonly path: string; readonly model: Model }> {
  if (device.device !== 'cpu' || findQuantized(artifact.model).length > 0) return artifact;
  const own = join(folder, 'artifact');
  await mkdir(own, { recursive: true });
  const path = await saveFloat32Twin(artifact, own, warnOfCopies(reporter));
  return path === artifact.path ? artifact : { path, model: await openModel(path) };
}

async function auditArtifact(check: ArtifactCheck): Promise<FusionAudit | null> {
  const { plan, device, artifact, whyFloat } = check;
  if (plan === undefined || device.device !== 'cpu') return null;
  const { parts: _, ...fusion } = await auditFile(artifact.path, plan, whyFloat);
  return fusion;
}

/** Shape arithmetic stays on the CPU by design; what counts is float work that was meant for the device. */
async function findFallback(check: ArtifactCheck, feeds: Feeds): Promise<readonly FallbackNode[]> {
  const { device } = check.device;
  if (device === 'cpu') return [];
  const placement = await findPlacement(check.artifact.path, { device }, feeds);
  return placement.elsewhere.map(({ node, opType, provider }) => ({
    node,
    opType,
    device: provider,
  }));
}

async function describeCheck(
  check: ArtifactCheck,
  samples: number,
): Promise<Pick<CheckResult, 'source' | 'artifact' | 'device' | 'runtime' | 'data'>> {
  const machine = await probeDevices();
  const { source, artifact, device, dataset } = check;
  const state = machine.onnxruntime.devices.find((found) => found.device === device.device);
  const label = labelOf(source.written);
  return {
    source: {
      file: basename(source.path),
      sha256: await source.sha256(),
      label: `${label} source`,
    },
    artifact: {
      file: basename(artifact.path),
      sha256: await artifact.sha256(),
      label: check.label,
    },
    device: {
      id: device.device,
      requested: check.requestedDevice,
      name:
        device.device === 'cpu'
          ? machine.cpu.model
          : (machine.nvidiaGpus[0] ?? state?.device ?? device.device),
      reference: referenceOf(check.source, label, device.device),
      notUsed: device.passedOver,
    },
    runtime: {
      autoglm: VERSION,
      node: machine.nodeVersion,
      runner: `onnxruntime ${machine.onnxruntime.version}`,
      platform: machine.platform,
      cpu: machine.cpu.model,
      instructionSets: machine.cpu.instructionSets ?? [],
      saturatesPairs: machine.cpu.saturatesPairs ?? null,
      threads: null,
    },
    data: {
      name: basename(dataset.path),
      sha256: dataset.hash,
      samples,
      representative: true,
    },
  };
}

function referenceOf({ isWidened }: ModelOnDisk, label: string, device: string): string {
  if (isWidened) {
    return `float32 twin of the bfloat16 source on ${device}, for which onnxruntime has no bfloat16 kernels`;
  }
  return device === 'cpu' && label === 'float16'
    ? 'float16 source on cpu (computed in float32 between casts)'
    : `source on ${device}`;
}
