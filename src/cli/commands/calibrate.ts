import { type Command, Option } from 'commander';
import { renderCalibration } from '../../report/calibration.ts';
import {
  CALIBRATORS,
  type CalibratorName,
  TABLE_FORMATS,
  type TableFormat,
} from '../../workflows/choices.ts';
import {
  addCommonOptions,
  addDataOptions,
  addWriteOptions,
  type CommonOptions,
  type DataOptions,
  parseShard,
  type WriteOptions,
} from '../options.ts';
import { withTerminal } from '../with-terminal.ts';

interface CalibrateOptions extends WriteOptions, DataOptions {
  readonly calibrator?: CalibratorName;
  readonly shard?: { readonly index: number; readonly count: number };
  readonly format?: readonly TableFormat[];
}

interface MergeOptions extends CommonOptions {
  readonly output: string;
  readonly force?: true;
}

/** Adds `autoglm calibrate` and `autoglm calibrate merge`. */
export function registerCalibrate(program: Command): void {
  const command = program
    .command('calibrate')
    .argument('[model]', 'an .onnx file, or a folder with one')
    .description(
      'Run the calibration passes over a data set and write calibration.json: statistics and the INT8 scale of every linear layer input.',
    )
    .addOption(new Option('--calibrator <name>', 'how ranges are chosen').choices(CALIBRATORS))
    .option('--shard <i/n>', 'take samples i, i+n, i+2n ...', parseShard)
    .addOption(new Option('--format <formats...>', 'also write tables').choices(TABLE_FORMATS))
    .addHelpText(
      'after',
      `
Examples:
  $ autoglm calibrate model.onnx --data calibration/mixed -o out
  $ autoglm calibrate merge a/calibration.json b/calibration.json -o out`,
    );
  addWriteOptions(addDataOptions(command)).action(
    async (model: string | undefined, options: CalibrateOptions) => {
      const { calibrate } = await import('../../workflows/calibrate.ts');
      await withTerminal(options, async (terminal) => {
        const result = await calibrate(
          { model, ...options, tables: options.format ?? [] },
          terminal,
        );
        terminal.result(result, renderCalibration(result));
      });
    },
  );
  const merge = command
    .command('merge')
    .argument('<files...>', 'calibration.json of each shard')
    .description('Join the statistics of shards into one calibration.json.')
    .requiredOption('-o, --output <folder>', 'where calibration.json goes')
    .option('--force', 'replace files that exist')
    .addHelpText(
      'after',
      `
Examples:
  $ autoglm calibrate merge a/calibration.json b/calibration.json -o out
  $ autoglm calibrate merge shard-*/calibration.json -o out --force`,
    );
  addCommonOptions(merge).action(async (files: readonly string[], options: MergeOptions) => {
    const { mergeCalibrationFiles } = await import('../../workflows/calibrate.ts');
    await withTerminal(options, async (terminal) => {
      const result = await mergeCalibrationFiles(files, options.output, options.force ?? false);
      terminal.result(result, renderCalibration(result));
    });
  });
}
