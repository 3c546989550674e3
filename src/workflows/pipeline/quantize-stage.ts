import { join } from 'node:path';
import type { Recipe } from '../../recipe/recipe.ts';
import type { PipelineConfig } from '../project/pipeline-config.ts';
import type { SearchRequest } from '../search/search-plan.ts';
import { searchedRecipe, searchRequestOf } from '../search/search-request.ts';
import { CALIBRATION_NAME, readCalibration } from '../stages/calibrate-model.ts';
import { loadRecipe, quantizeInto } from '../stages/quantize-model.ts';
import type { Stage } from './run-stages.ts';
import type { Sources } from './stage-kind.ts';

/** Returns the stage that plans and writes the quantized model. */
export function quantizeStages(config: PipelineConfig, { from }: Sources): readonly Stage[] {
  const choice = { data: config.data, ...config.calibrate };
  const { search, recipe } = quantization(config);
  return [
    {
      name: 'quantize',
      folder: 'quantize',
      needs: ['calibrate'],
      inputs: async () => ({
        recipe: await recipe(),
        ...(search !== undefined && {
          budget: search.budget,
          windows: config.quantize.searchSamples,
        }),
      }),
      async run(folder, reporter) {
        const source = await from();
        const calibration = await readCalibration(
          join(config.output, 'calibrate', CALIBRATION_NAME),
          source,
        );
        const data = { path: config.data, sha256: calibration.data.sha256 };
        const { warnings } = await quantizeInto(
          folder,
          { source, recipe: await recipe(), calibration, data, choice, search },
          reporter,
        );
        for (const warning of warnings) reporter.warn(warning);
      },
    },
  ];
}

/** Returns the recipe that a config quantizes by, and the budget that is searched for. */
export function quantization(config: PipelineConfig): {
  readonly search: SearchRequest | undefined;
  recipe(): Promise<Recipe>;
} {
  const { recipe: named, ...budget } = config.quantize;
  const choice = { data: config.data, ...config.calibrate };
  const search = searchRequestOf(budget, choice, config.output);
  return {
    search,
    recipe: () =>
      loadRecipe(search === undefined ? named : searchedRecipe(named), {
        activations: config.quantize.activations,
        calibrator: config.calibrate.calibrator,
      }),
  };
}
