import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type ModelOnDisk, openModelOnDisk } from '../../artifact/model-on-disk.ts';
import type { RunSummary } from '../../artifact/results.ts';
import type { CheckResult } from '../../check/check-result.ts';
import { parseCheckResult } from '../../check/check-result-schema.ts';
import { writeFileAtomic } from '../../storage/write-file-atomic.ts';
import { VERSION } from '../../version.ts';
import type { Reporter } from '../progress.ts';
import type { PipelineConfig } from '../project/pipeline-config.ts';
import { CHECK_FILES } from '../stages/check-into.ts';
import { chooseTarget } from '../stages/choose-target.ts';
import { parseShapes } from '../stages/engine-shapes.ts';
import {
  requireExportable,
  requireQuantizable,
  requireSearchable,
} from '../stages/require-possible.ts';
import { STAGES } from './index.ts';
import { quantization } from './quantize-stage.ts';
import { runStages, type Stage, type StageOptions } from './run-stages.ts';
import type { Sources } from './stage-kind.ts';

/** Name of the summary in the output folder. */
export const RUN_NAME = 'run.json';

/**
 * Runs the stages of a config up to those of the kind `until` (all when absent), skipping those that are up to
 * date, and writes `run.json`. With `dryRun` nothing is written.
 */
export async function runConfig(
  config: PipelineConfig,
  options: StageOptions & { readonly until?: string | undefined },
  reporter: Reporter,
): Promise<RunSummary> {
  const source = await openModelOnDisk(config.model);
  reporter.note(`model: ${source.path}`);
  const wanted = await stagesUntil(options.until, config, source);
  await requireStages(config, source, wanted);
  const outcomes = await runStages(config.output, wanted, options, reporter);
  const isChecked = wanted.some(({ name }) => name === 'check') && !options.dryRun;
  const summary: RunSummary = {
    schema: 'autoglm.run/1',
    autoglm: VERSION,
    config: config.path,
    model: source.path,
    output: config.output,
    finishedAt: new Date().toISOString(),
    stages: outcomes,
    check: isChecked ? await readCheck(join(config.output, 'check')) : null,
  };
  if (!options.dryRun) {
    await writeFileAtomic(
      join(config.output, RUN_NAME),
      `${JSON.stringify(summary, undefined, 2)}\n`,
    );
  }
  return summary;
}

async function stagesUntil(
  until: string | undefined,
  config: PipelineConfig,
  origin: ModelOnDisk,
): Promise<readonly Stage[]> {
  const pruned = join(config.output, 'prune');
  const sources: Sources = {
    origin,
    from: async () => (config.prune === undefined ? origin : openModelOnDisk(pruned)),
  };
  const last = until === undefined ? -1 : STAGES.findIndex(({ name }) => name === until);
  const kinds = last < 0 ? STAGES : STAGES.slice(0, last + 1);
  const made: Stage[] = [];
  for (const kind of kinds) made.push(...(await kind.load())(config, sources));
  return made;
}

/** Refuses what the stages after calibration are sure to refuse, before any of them runs. */
async function requireStages(
  config: PipelineConfig,
  source: ModelOnDisk,
  wanted: readonly Stage[],
): Promise<void> {
  const isWanted = (name: string): boolean => wanted.some((stage) => stage.name === name);
  if (!isWanted('quantize')) return;
  const { search, recipe } = quantization(config);
  const chosen = await recipe();
  requireQuantizable(source.model, chosen, true);
  if (search !== undefined) await requireSearchable(source, chosen, search);
  if (!isWanted('export')) return;
  for (const { target, shape, options } of config.export) {
    const shapes = parseShapes(shape, source.model);
    const known = { shapes, isCalibrated: true };
    requireExportable(source.model, chosen, await chooseTarget(target, options), known);
  }
}

async function readCheck(folder: string): Promise<CheckResult> {
  const path = join(folder, CHECK_FILES.json);
  return parseCheckResult(await readFile(path, 'utf8'), path);
}
