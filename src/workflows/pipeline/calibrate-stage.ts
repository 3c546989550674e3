import { openData } from '../project/open-data.ts';
import type { PipelineConfig } from '../project/pipeline-config.ts';
import { calibrateInto } from '../stages/calibrate-model.ts';
import { writeTables } from '../stages/calibration-tables.ts';
import type { Stage } from './run-stages.ts';
import type { Sources } from './stage-kind.ts';

/** Returns the stage that collects statistics of the model that is quantized. */
export function calibrateStages(
  config: PipelineConfig,
  { origin, from }: Sources,
): readonly Stage[] {
  const choice = { data: config.data, ...config.calibrate };
  return [
    {
      name: 'calibrate',
      folder: 'calibrate',
      needs: config.prune === undefined ? [] : ['prune'],
      inputs: async () => ({
        model: await origin.sha256(),
        data: (await openData(choice, origin)).hash,
        options: config.calibrate,
      }),
      async run(folder, reporter) {
        const { calibrator, format } = config.calibrate;
        const source = await from();
        const made = await calibrateInto(folder, { source, choice, calibrator }, reporter);
        await writeTables(folder, made, format);
      },
    },
  ];
}
