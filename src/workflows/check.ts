import { dirname } from 'node:path';
import { artifactFolder, MANIFEST_NAME, readManifest } from '../artifact/manifest.ts';
import { openModelOnDisk } from '../artifact/model-on-disk.ts';
import { openOrigin } from '../artifact/origin.ts';
import type { CheckResult } from '../check/check-result.ts';
import { type Gates, parseGates } from '../check/gates.ts';
import { UsageError } from '../errors.ts';
import { renderJunit } from '../report/index.ts';
import type { Device } from '../runners/runner.ts';
import { writeThroughStaging } from '../storage/replace-folder.ts';
import { writeFileAtomic } from '../storage/write-file-atomic.ts';
import { runConfig } from './pipeline/run-config.ts';
import type { Reporter } from './progress.ts';
import type { PipelineConfig } from './project/pipeline-config.ts';
import { resolveConfig, type VerbOptions } from './project/resolve-request.ts';
import { historyBeside } from './search/artifact-history.ts';
import { CHECK_FILES, type CheckRequest, runCheck, writeCheck } from './stages/check-into.ts';

export { enforceGates } from '../check/gates.ts';

/** Options of `check`. */
export interface CheckOptions extends Omit<VerbOptions, 'model'> {
  readonly artifact?: string | undefined;
  readonly against?: string | undefined;
  readonly device: Device;
  /** `name=limit` pairs. */
  readonly gates: readonly string[];
  readonly junit?: string | undefined;
  readonly latency: boolean;
  /** Tokens that are timed, and the past of the decode step; 128 when absent. */
  readonly contextLength?: number | undefined;
}

/**
 * Checks the artifact that was named (its manifest says source and data unless options do), or the
 * config's quantized model. Writes the reports where `-o` and `--junit` say.
 */
export async function check(options: CheckOptions, reporter: Reporter): Promise<CheckResult> {
  const result =
    options.output === undefined
      ? await runChosen(options, reporter)
      : await writeThroughStaging(
          options.output,
          { force: options.force ?? false, mode: 'merge', expected: Object.values(CHECK_FILES) },
          async (folder) => {
            const found = await runChosen(options, reporter);
            const { artifact } = options;
            const folders = artifact === undefined ? [] : [await artifactFolder(artifact)];
            await writeCheck(folder, found, await historyBeside(...folders));
            return found;
          },
        );
  await writeJunit(options.junit, result);
  return result;
}

async function runChosen(options: CheckOptions, reporter: Reporter): Promise<CheckResult> {
  const gates = options.gates.length === 0 ? undefined : parseGates(options.gates);
  if (options.artifact === undefined) return checkConfig(options, gates, reporter);
  return runCheck(await requestFor(options.artifact, options, gates), reporter);
}

/** Writes JUnit XML where a person asked for it. */
export async function writeJunit(path: string | undefined, result: CheckResult): Promise<void> {
  if (path !== undefined) await writeFileAtomic(path, renderJunit(result));
}

async function checkConfig(
  options: CheckOptions,
  gates: Gates | undefined,
  reporter: Reporter,
): Promise<CheckResult> {
  const config = await resolveConfig(options);
  const { samples, contextLength } = options;
  const chosen: PipelineConfig = {
    ...config,
    check: {
      ...config.check,
      ...(samples !== undefined && { samples }),
      ...(contextLength !== undefined && { contextLength }),
      device: options.device === 'auto' ? config.check.device : options.device,
      latency: options.latency && config.check.latency,
      ...(gates !== undefined && { gates }),
    },
  };
  const { force = false } = options;
  const summary = await runConfig(chosen, { force, dryRun: false }, reporter);
  if (summary.check === null) throw new UsageError(`${config.path}: the check left no result.`);
  return summary.check;
}

async function requestFor(
  artifact: string,
  options: CheckOptions,
  gates: Gates | undefined,
): Promise<CheckRequest> {
  const folder = await artifactFolder(artifact).catch((cause) => {
    throw new UsageError(`${artifact}: there is no such file or folder. Check the path.`, {
      cause,
    });
  });
  const needsManifest = options.against === undefined || options.data === undefined;
  const manifest = needsManifest ? await readManifest(folder) : undefined;
  const data = options.data ?? manifest?.data?.path;
  if (data === undefined) {
    throw new UsageError(
      `${folder}/${MANIFEST_NAME}: names no data set. Give --data <folder> with held-out samples.`,
    );
  }
  const source =
    options.against === undefined
      ? await openOrigin(await openModelOnDisk(manifest?.source.path ?? dirname(artifact)))
      : await openModelOnDisk(options.against);
  const { samples, sequenceLength, seed } = options;
  return {
    source,
    artifact,
    choice: { data, heldOutSamples: samples, sequenceLength, seed },
    device: options.device,
    gates: gates ?? {},
    seed: seed ?? 0,
    measureLatency: options.latency,
    contextLength: options.contextLength,
  };
}
