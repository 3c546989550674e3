import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import { UnsupportedError, UsageError } from '../../errors.ts';
import type { Model } from '../../ir/model.ts';
import { applyPruning } from '../../prune/apply-pruning.ts';
import { cuttableGroups } from '../../prune/cuttable-groups.ts';
import { findGroups } from '../../prune/find-groups.ts';
import type { PruneGroups } from '../../prune/group.ts';
import type { Cut } from '../../prune/kept-axes.ts';
import { planFromScores, scoreGroups } from '../../prune/plan-pruning.ts';
import {
  amountOf,
  findsAmount,
  type ImportanceName,
  type PruneSettings,
} from '../../prune/prune-settings.ts';
import { cutsOf } from '../../prune/pruning-file.ts';
import type { PruningPlan } from '../../prune/pruning-plan.ts';
import { type Recovered, recoverWeights } from '../../prune/recover/recover-weights.ts';
import { describeBudget } from '../../quantize/search/budget.ts';
import { budgetOf } from '../../quantize/search/budget-options.ts';
import type { Reporter } from '../progress.ts';
import type { DataChoice } from '../project/open-data.ts';
import { requireSound } from '../proof/require-sound.ts';
import { measureSensitivities } from '../search/measure-sensitivities.ts';
import type { PrunedBenchRequest } from '../search/pruned-bench.ts';
import { searchAmount } from '../search/search-amount.ts';
import { type CollectedChannels, collectChannels } from './channel-moments.ts';
import { storeOnDisk } from './store-on-disk.ts';

/** What to prune, how, and the data that tells what matters. */
export interface PruneRequest {
  readonly source: ModelOnDisk;
  readonly settings: PruneSettings;
  readonly choice?: DataChoice | undefined;
  /** Keeps what a search for the share measured. */
  readonly cacheFolder: string;
}

/** What a plan was made with, and what it says. */
export interface PlannedCut {
  readonly found: PruneGroups;
  readonly plan: PruningPlan;
  readonly channels: CollectedChannels | undefined;
}

/** Least squares need data, and are what is done with them unless somebody says otherwise. */
export function recoversWith({ settings, choice }: PruneRequest): boolean {
  return choice !== undefined && settings.recover !== 'none';
}

/**
 * Returns which units go from which groups of a source, searching the share where the settings leave it open. Closes what it
 * opened when it throws, UnsupportedError when there is nothing to prune among it.
 */
export async function planCut(
  request: PruneRequest,
  { recovers, scratch }: { readonly recovers: boolean; readonly scratch: string },
  reporter: Reporter,
): Promise<PlannedCut> {
  const { source, settings, choice } = request;
  await requireSound(source);
  requireData(request);
  const found = cuttableGroups(source.model, findGroups(source.model));
  requireGroups(source, found, settings);
  const importance: ImportanceName = settings.importance ?? (choice === undefined ? 'l1' : 'obs');
  const needs = {
    squares: importance === 'wanda',
    moments: importance === 'obs' || recovers,
  };
  const groups = found.groups.filter(({ kind }) => settings.targets.includes(kind));
  const channels =
    choice !== undefined && (needs.squares || needs.moments) && amountOf(settings) > 0
      ? await collectChannels({ source, groups, choice, needs }, reporter)
      : undefined;
  try {
    const scored = await scoreGroups({
      model: source.model,
      found,
      settings,
      importance,
      moments: importance === 'wanda' ? channels?.squares : channels?.moments,
      multiply: channels?.multiply,
      onGroup: (done, total) => reporter.progress({ task: 'rank', done, total, unit: 'layers' }),
    });
    if (choice === undefined) return { found, plan: planFromScores(scored, settings), channels };
    const { cacheFolder } = request;
    const bench: PrunedBenchRequest = {
      ...{ source, settings, scored, choice, cacheFolder },
      prunedBy: async (tried) => {
        const cuts = cutsOf(found, tried);
        const cut = { model: source.model, cuts, scratch, how: settings.recover };
        const { model } = await recoverCut(recovers ? channels : undefined, cut, reporter);
        return applyPruning(model, cuts);
      },
    };
    const judged =
      settings.allocate === 'search' ? await measureSensitivities(bench, reporter) : scored;
    const budget = budgetOf(settings);
    const plan =
      budget !== undefined && findsAmount(settings)
        ? await searchAmount({ ...bench, scored: judged }, budget, reporter)
        : planFromScores(judged, settings);
    return { found, plan, channels };
  } catch (error) {
    await channels?.close();
    throw error;
  }
}

/** What a limit holds and what a layer costs is measured on data alone. */
function requireData({ settings, choice }: PruneRequest): void {
  if (choice !== undefined) return;
  const budget = budgetOf(settings);
  if (budget !== undefined) {
    throw new UsageError(
      `prune: a limit is measured on data, and there are none (got ${describeBudget(budget)}). Give --data <folder>.`,
    );
  }
  if (settings.allocate === 'search') {
    throw new UsageError(
      'prune: --allocate search measures layers on data, and there are none. Give --data <folder>.',
    );
  }
}

function requireGroups(source: ModelOnDisk, found: PruneGroups, { targets }: PruneSettings): void {
  if (found.groups.some(({ kind }) => targets.includes(kind))) return;
  const [first] = found.declined;
  const obstacle =
    first === undefined ? 'no product with a weight' : `${first.node}: ${first.reason}`;
  throw new UnsupportedError(
    `${source.path}: no ${targets.join(', no ')} can be removed (got ${found.groups.length} groups of other kinds and ` +
      `${found.declined.length} declined, the first by ${obstacle}). See "autoglm prune --dry-run --json".`,
  );
}

/** Returns the model whose weights have taken on what goes, the same model without moments. */
export async function recoverCut(
  channels: CollectedChannels | undefined,
  cut: {
    readonly model: Model;
    readonly cuts: readonly Cut[];
    readonly scratch: string;
    readonly how: PruneSettings['recover'];
  },
  reporter: Reporter,
): Promise<{ readonly model: Model; readonly recovered: readonly Recovered[] }> {
  const { model, cuts, scratch, how = 'ls' } = cut;
  if (channels === undefined || how === 'none') return { model, recovered: [] };
  return recoverWeights({
    model,
    cuts,
    how,
    moments: channels.halves,
    multiply: channels.multiply,
    store: storeOnDisk(scratch),
    onWeight: (done, total) => reporter.progress({ task: 'recover', done, total, unit: 'layers' }),
  });
}
