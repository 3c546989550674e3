import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseQuantizationFile } from '../../quantize/quantization-file.ts';
import { openModel } from '../../storage/model-file.ts';
import { loweringOf } from '../../targets/onnx/lowering.ts';
import type { ExportSettings } from '../project/export-settings.ts';
import { heldOut, type PipelineConfig } from '../project/pipeline-config.ts';
import { CALIBRATION_NAME, readCalibration } from '../stages/calibrate-model.ts';
import { chooseTarget } from '../stages/choose-target.ts';
import { exportInto } from '../stages/export-model.ts';
import { QUANTIZED_FILES } from '../stages/quantize-model.ts';
import type { Stage } from './run-stages.ts';
import type { Sources } from './stage-kind.ts';

/** Returns a stage for each target of the config, independent of each other. */
export function exportStages(config: PipelineConfig, sources: Sources): readonly Stage[] {
  return config.export.map((settings) => exportStage(config, settings, sources));
}

function exportStage(
  config: PipelineConfig,
  { target, shape, options }: ExportSettings,
  { origin, from }: Sources,
): Stage {
  const quantized = join(config.output, 'quantize');
  return {
    name: 'export',
    folder: target,
    needs: ['calibrate', 'quantize'],
    inputs: async () => ({ target, shape, options, check: config.check }),
    async run(folder, reporter) {
      const source = await from();
      const path = join(quantized, QUANTIZED_FILES.plan);
      const { plan } = parseQuantizationFile(await readFile(path, 'utf8'), path);
      const chosen = await chooseTarget(target, options);
      const isForOnnx = loweringOf(plan.recipe).id === 'onnx';
      const isTaken = isForOnnx && chosen.writer.takesQuantized === true;
      const calibration = join(config.output, 'calibrate', CALIBRATION_NAME);
      await exportInto(
        folder,
        {
          source,
          origin,
          plan,
          quantized: isTaken ? await openModel(join(quantized, QUANTIZED_FILES.model)) : undefined,
          calibration: await readCalibration(calibration, source),
          chosen,
          shape,
          choice: { data: config.data, ...config.calibrate, ...heldOut(config) },
        },
        reporter,
      );
    },
  };
}
