import { enforceGates } from '../../check/gates.ts';
import { budgetOf } from '../../quantize/search/budget-options.ts';
import { openData } from '../project/open-data.ts';
import type { PipelineConfig } from '../project/pipeline-config.ts';
import { searchCacheFolder } from '../search/search-cache.ts';
import { checkPruned } from '../stages/check-pruned.ts';
import { pruneInto } from '../stages/prune-model.ts';
import type { Stage } from './run-stages.ts';
import type { Sources } from './stage-kind.ts';

/** Returns the stage that removes what the config's `prune:` says; none without. */
export function pruneStages(config: PipelineConfig, { origin }: Sources): readonly Stage[] {
  const settings = config.prune;
  if (settings === undefined) return [];
  const choice = { data: config.data, ...config.calibrate };
  return [
    {
      name: 'prune',
      folder: 'prune',
      needs: [],
      inputs: async () => ({
        model: await origin.sha256(),
        data: (await openData(choice, origin)).hash,
        settings,
      }),
      async run(folder, reporter) {
        const { warnings } = await pruneInto(
          folder,
          { source: origin, settings, choice, cacheFolder: searchCacheFolder(config.output) },
          reporter,
        );
        for (const warning of warnings) reporter.warn(warning);
        if (budgetOf(settings) === undefined) return;
        const judged = { source: origin, settings, choice, seed: 0, measureLatency: false };
        const check = await checkPruned(folder, judged, reporter);
        if (check !== null) enforceGates(check);
      },
    },
  ];
}
