import { join } from 'node:path';
import { openModelOnDisk } from '../artifact/model-on-disk.ts';
import type { SearchFile } from '../quantize/search/search-file.ts';
import type { Reporter } from './progress.ts';
import {
  dataChoice,
  requireData,
  resolveRequest,
  type VerbOptions,
} from './project/resolve-request.ts';
import { searchCacheFolder } from './search/search-cache.ts';
import { rankSensitivity } from './search/search-plan.ts';
import { searchedRecipe } from './search/search-request.ts';
import { CALIBRATION_NAME, calibrateSource, readCalibration } from './stages/calibrate-model.ts';
import { planModel } from './stages/plan-model.ts';
import { loadRecipe } from './stages/quantize-model.ts';

/** Options of `inspect --sensitivity`. */
export interface SensitivityOptions
  extends Pick<VerbOptions, 'model' | 'config' | 'data' | 'samples' | 'sequenceLength' | 'seed'> {
  readonly recipe?: string | undefined;
  readonly calibration?: string | undefined;
  readonly searchSamples?: number | undefined;
}

/**
 * Returns how sensitive each group of linear layers is to INT8 activations, and the curve between all
 * and none, measured on held-out windows. Calibrates first where no calibration is given.
 */
export async function inspectSensitivity(
  options: SensitivityOptions,
  reporter: Reporter,
): Promise<SearchFile> {
  const request = await resolveRequest(options);
  const config = request.kind === 'config' ? request.config : undefined;
  const source =
    request.kind === 'model' ? request.source : await openModelOnDisk(request.config.model);
  const named = options.recipe ?? config?.quantize.recipe ?? 'w8a8';
  const recipe = await loadRecipe(searchedRecipe(named));
  const choice =
    config === undefined
      ? dataChoice(options, requireData(options, 'inspect --sensitivity'))
      : { data: config.data, ...config.calibrate };
  const { calibration: given } = options;
  const calibration =
    given === undefined
      ? await calibrateSource({ source, choice }, reporter)
      : await readCalibration(
          given.endsWith('.json') ? given : join(given, CALIBRATION_NAME),
          source,
        );
  const { plan } = await planModel({ source, recipe, calibration });
  const { searchSamples: heldOutSamples = config?.quantize.searchSamples } = options;
  return rankSensitivity(
    { source, plan },
    { choice: { ...choice, heldOutSamples }, cacheFolder: searchCacheFolder(config?.output) },
    reporter,
  );
}
