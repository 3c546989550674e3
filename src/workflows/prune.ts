import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { MANIFEST_NAME, readManifest } from '../artifact/manifest.ts';
import { openModelOnDisk } from '../artifact/model-on-disk.ts';
import type { PruneOutcome } from '../artifact/results.ts';
import { UsageError } from '../errors.ts';
import { PRUNE_SCHEMA, type PruneSettings } from '../prune/prune-settings.ts';
import { parsePruning } from '../prune/pruning-file.ts';
import { writeThroughStaging } from '../storage/replace-folder.ts';
import { runConfig } from './pipeline/run-config.ts';
import type { Reporter } from './progress.ts';
import type { PipelineConfig } from './project/pipeline-config.ts';
import {
  dataChoice,
  requireOwnOutput,
  resolveRequest,
  type VerbOptions,
} from './project/resolve-request.ts';
import { searchCacheFolder } from './search/search-cache.ts';
import { checkPruned } from './stages/check-pruned.ts';
import { PRUNED_FILES, planOnlyPruning, pruneInto } from './stages/prune-model.ts';

/** Options of `prune`: the settings of a config's section `prune:`, as they were typed. */
export interface PruneOptions
  extends VerbOptions,
    Partial<{ readonly [Key in keyof PruneSettings]: PruneSettings[Key] | undefined }> {
  /** Whether source and result are timed. */
  readonly latency?: boolean | undefined;
}

/**
 * Prunes the model that was named, or the config's into its stage folder, and checks the result against the
 * export on held-out data where there is data.
 */
export async function prune(options: PruneOptions, reporter: Reporter): Promise<PruneOutcome> {
  const request = await resolveRequest(options);
  if (request.kind === 'config') return pruneConfig(request.config, options, reporter);
  const { source } = request;
  const settings = settingsOf(options, {});
  const choice = options.data === undefined ? undefined : dataChoice(options, options.data);
  const cacheFolder = searchCacheFolder(options.output);
  const asked = { source, settings, choice, cacheFolder };
  if (options.dryRun === true) return planned(asked, reporter);
  const output = await requireOwnOutput(options, source, 'prune');
  const result = await writeThroughStaging(
    output,
    {
      force: options.force ?? false,
      mode: 'merge',
      expected: [...Object.values(PRUNED_FILES), MANIFEST_NAME],
    },
    (folder) => pruneInto(folder, asked, reporter),
  );
  const check = await checkPruned(
    output,
    { source, settings, choice, ...timing(options) },
    reporter,
  );
  return { ...result, folder: output, check };
}

async function planned(
  request: Parameters<typeof planOnlyPruning>[0],
  reporter: Reporter,
): Promise<PruneOutcome> {
  const { plan, warnings } = await planOnlyPruning(request, reporter);
  return { schema: 'autoglm.prune/1', folder: null, plan, warnings, check: null };
}

async function pruneConfig(
  config: PipelineConfig,
  options: PruneOptions,
  reporter: Reporter,
): Promise<PruneOutcome> {
  const settings = settingsOf(options, config.prune ?? {});
  const chosen: PipelineConfig = { ...config, prune: settings };
  const choice = { data: config.data, ...config.calibrate };
  const source = await openModelOnDisk(config.model);
  const cacheFolder = searchCacheFolder(config.output);
  if (options.dryRun === true) return planned({ source, settings, choice, cacheFolder }, reporter);
  const { force = false } = options;
  await runConfig(chosen, { until: 'prune', force, dryRun: false }, reporter);
  const folder = join(config.output, 'prune');
  const path = join(folder, PRUNED_FILES.plan);
  const manifest = await readManifest(folder);
  const check = await checkPruned(
    folder,
    { source, settings, choice, ...timing(options) },
    reporter,
  );
  return {
    schema: 'autoglm.prune/1',
    folder,
    plan: parsePruning(await readFile(path, 'utf8'), path),
    ...(manifest.pruning !== undefined && { pruning: manifest.pruning }),
    warnings: manifest.notes,
    manifest,
    check,
  };
}

/** What was typed, over what the config says. */
function settingsOf(options: PruneOptions, config: Partial<PruneSettings>): PruneSettings {
  const typed = Object.keys(PRUNE_SCHEMA.shape).flatMap((key) => {
    const value = options[key as keyof PruneSettings];
    return value === undefined ? [] : [[key, value] as const];
  });
  const parsed = PRUNE_SCHEMA.safeParse({ ...config, ...Object.fromEntries(typed) });
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new UsageError(`--${issue?.path.join('.')}: ${issue?.message} See "autoglm prune --help".`);
}

function timing(options: PruneOptions): {
  readonly seed: number;
  readonly measureLatency: boolean;
} {
  return { seed: options.seed ?? 0, measureLatency: options.latency ?? true };
}
