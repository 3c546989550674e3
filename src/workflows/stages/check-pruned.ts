import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import type { CheckResult } from '../../check/check-result.ts';
import type { PruneSettings } from '../../prune/prune-settings.ts';
import type { Reporter } from '../progress.ts';
import { type DataChoice, openData } from '../project/open-data.ts';
import { runCheck } from './check-into.ts';

/** What a pruned model is checked against, and by which limits. */
export interface PrunedCheck {
  readonly source: ModelOnDisk;
  readonly settings: PruneSettings;
  readonly choice: DataChoice | undefined;
  readonly seed: number;
  readonly measureLatency: boolean;
}

/**
 * Checks the pruned model of a folder on all held-out samples, with the limits of its settings as gates. Null without held-out
 * data.
 */
export async function checkPruned(
  folder: string,
  { source, settings, choice, seed, measureLatency }: PrunedCheck,
  reporter: Reporter,
): Promise<CheckResult | null> {
  if (choice === undefined) return null;
  const dataset = await openData(choice, source);
  if ((await dataset.count('heldOut')) === 0) return null;
  const { maxKl, maxDrop: maxTop1Drop, maxPerplexityRatio } = settings;
  return runCheck(
    {
      source,
      artifact: folder,
      choice,
      device: 'cpu',
      gates: { maxKl, maxTop1Drop, maxPerplexityRatio },
      seed,
      measureLatency,
    },
    reporter,
  );
}
