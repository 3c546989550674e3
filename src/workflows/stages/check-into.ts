import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { artifactFolder } from '../../artifact/manifest.ts';
import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import type { CheckResult } from '../../check/check-result.ts';
import type { Gates } from '../../check/gates.ts';
import { parseQuantizationFile } from '../../quantize/quantization-file.ts';
import type { QuantizationPlan } from '../../quantize/quantization-plan.ts';
import type { ArtifactHistory } from '../../report/html.ts';
import { renderHtml, renderJson, renderJunit, renderMarkdown } from '../../report/index.ts';
import { chooseDevice } from '../../runners/devices.ts';
import type { Device } from '../../runners/runner.ts';
import { exists } from '../../storage/replace-folder.ts';
import { writeFileAtomic } from '../../storage/write-file-atomic.ts';
import type { Reporter } from '../progress.ts';
import { type DataChoice, openData } from '../project/open-data.ts';
import { runnerOf } from '../proof/artifact-check.ts';
import { checkArtifact } from '../proof/check-artifact.ts';
import { labelOf } from '../proof/model-label.ts';
import { openChecked } from '../proof/open-checked.ts';
import { historyBeside } from '../search/artifact-history.ts';
import { QUANTIZED_FILES } from './quantize-model.ts';

/** Names of what a check leaves in its folder. */
export const CHECK_FILES = {
  json: 'check.json',
  junit: 'junit.xml',
  markdown: 'summary.md',
  html: 'report.html',
} as const;

/** What to check, with what, and how to judge it. */
export interface CheckRequest {
  readonly source: ModelOnDisk;
  /** The artifact: a file of a kind that some runner reads, or a folder with one. */
  readonly artifact: string;
  readonly choice: DataChoice;
  readonly device: Device;
  readonly gates: Gates;
  readonly seed: number;
  readonly measureLatency: boolean;
  /** Tokens that are timed, and the past of the decode step; 128 when absent. */
  readonly contextLength?: number | undefined;
  readonly notVerified?: readonly string[];
}

/** Checks an artifact against its source and returns what was found, gates judged. */
export async function runCheck(request: CheckRequest, reporter: Reporter): Promise<CheckResult> {
  const artifact = await openChecked(request.artifact);
  const dataset = await openData(request.choice, request.source);
  const device = await chooseDevice(request.device, runnerOf(artifact));
  reporter.note(`device: ${device.device}`);
  const plan = await planBeside(request.artifact);
  return checkArtifact(
    {
      source: request.source,
      artifact,
      dataset,
      device,
      requestedDevice: request.device,
      gates: request.gates,
      seed: request.seed,
      ...(plan !== undefined && { plan }),
      label: plan?.recipe.name ?? ('model' in artifact ? labelOf(artifact.model) : artifact.kind),
      measureLatency: request.measureLatency,
      contextLength: request.contextLength,
      notVerified: request.notVerified ?? [],
    },
    reporter,
  );
}

/** Checks an artifact and writes the result in every form into `folder`. */
export async function checkInto(
  folder: string,
  request: CheckRequest,
  reporter: Reporter,
): Promise<CheckResult> {
  const result = await runCheck(request, reporter);
  await writeCheck(folder, result, await historyBeside(await artifactFolder(request.artifact)));
  return result;
}

/** Writes a check as JSON, JUnit, Markdown and HTML, which also shows how the artifact came to be. */
export async function writeCheck(
  folder: string,
  result: CheckResult,
  history?: ArtifactHistory,
): Promise<void> {
  await writeFileAtomic(join(folder, CHECK_FILES.json), renderJson(result));
  await writeFileAtomic(join(folder, CHECK_FILES.junit), renderJunit(result));
  await writeFileAtomic(join(folder, CHECK_FILES.markdown), renderMarkdown(result));
  await writeFileAtomic(join(folder, CHECK_FILES.html), renderHtml(result, history));
}

async function planBeside(artifact: string): Promise<QuantizationPlan | undefined> {
  const path = join(await artifactFolder(artifact), QUANTIZED_FILES.plan);
  if (!(await exists(path))) return undefined;
  return parseQuantizationFile(await readFile(path, 'utf8'), path).plan;
}
