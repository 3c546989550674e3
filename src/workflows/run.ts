import { readdir } from 'node:fs/promises';
import type { RunSummary } from '../artifact/results.ts';
import { UsageError } from '../errors.ts';
import { exists } from '../storage/replace-folder.ts';
import { TARGETS } from '../targets/index.ts';
import { writeJunit } from './check.ts';
import { STAGES } from './pipeline/index.ts';
import { RUN_NAME, runConfig } from './pipeline/run-config.ts';
import type { Reporter } from './progress.ts';
import { loadPipelineConfig } from './project/pipeline-config.ts';

/** Options of `run`. */
export interface RunOptions {
  readonly config?: string | undefined;
  /** Go on after the last finished stage. */
  readonly resume?: boolean | undefined;
  readonly from?: string | undefined;
  readonly force?: boolean | undefined;
  readonly dryRun?: boolean | undefined;
  readonly junit?: string | undefined;
}

/**
 * Runs the whole pipeline of a config. An output folder that holds stages already is an error unless
 * it is said what to do with them: go on (`resume`, `from`) or start again (`force`).
 */
export async function runPipeline(options: RunOptions, reporter: Reporter): Promise<RunSummary> {
  const config = await loadPipelineConfig(options.config);
  const { resume = false, force = false, dryRun = false, from } = options;
  if (!resume && !force && !dryRun && from === undefined) await refuseOldStages(config.output);
  const summary = await runConfig(config, { force, dryRun, from }, reporter);
  if (summary.check !== null) await writeJunit(options.junit, summary.check);
  return summary;
}

async function refuseOldStages(output: string): Promise<void> {
  const folders = TARGETS.map(({ id }) => id);
  const names: readonly string[] = [...STAGES.map(({ name }) => name), ...folders, RUN_NAME];
  const present = (await exists(output)) ? await readdir(output) : [];
  const old = present.filter((name) => names.includes(name)).sort();
  if (old.length === 0) return;
  throw new UsageError(
    `${output}: holds an earlier run (${old.join(', ')}). Use --resume to go on, or --force to start again.`,
  );
}
