import { join } from 'node:path';
import { heldOut, type PipelineConfig } from '../project/pipeline-config.ts';
import { checkInto } from '../stages/check-into.ts';
import type { Stage } from './run-stages.ts';
import type { Sources } from './stage-kind.ts';

/** Returns the stage that compares the quantized model with the export as it came. */
export function checkStages(config: PipelineConfig, { origin }: Sources): readonly Stage[] {
  const choice = { data: config.data, ...config.calibrate, ...heldOut(config) };
  return [
    {
      name: 'check',
      folder: 'check',
      needs: ['quantize'],
      inputs: async () => ({ check: config.check }),
      async run(folder, reporter) {
        await checkInto(
          folder,
          {
            source: origin,
            artifact: join(config.output, 'quantize'),
            choice,
            device: config.check.device,
            gates: config.check.gates ?? {},
            seed: config.calibrate.seed ?? 0,
            measureLatency: config.check.latency,
            contextLength: config.check.contextLength,
          },
          reporter,
        );
      },
    },
  ];
}
