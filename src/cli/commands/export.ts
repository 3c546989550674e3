import { type Command, Option } from 'commander';
import { renderExport } from '../../report/export.ts';
import { TARGETS } from '../../targets/index.ts';
import {
  addDataOptions,
  addWriteOptions,
  type DataOptions,
  type WriteOptions,
} from '../options.ts';
import { addTargetOptions, targetOptions } from '../target-options.ts';
import { withTerminal } from '../with-terminal.ts';

interface ExportOptions extends WriteOptions, DataOptions {
  readonly target?: string;
  readonly recipe?: string;
  readonly calibration?: string;
  readonly shape?: readonly string[];
}

/** Adds `autoglm export`. */
export function registerExport(program: Command): void {
  const command = program
    .command('export')
    .argument('[model]', 'the float model, an .onnx file or a folder with one')
    .description('Write the artifact of a target, then check it against its source.')
    .addOption(
      new Option('--target <target>', 'who will read it').choices(TARGETS.map(({ id }) => id)),
    )
    .option('--recipe <name|file>', 'what to quantize and how (default: "w8a8")')
    .option('--calibration <file>', 'calibration.json already made')
    .option(
      '--shape <range...>',
      'bounds of inputs, e.g. input_ids:1x1..1x128..1x512 (default: by the names of axes, then the samples)',
    )
    .addHelpText(
      'after',
      `
Examples:
  $ autoglm export model.onnx --target tensorrt --data calibration/mixed -o out
  $ autoglm export --target onnx`,
    );
  addWriteOptions(addDataOptions(addTargetOptions(command))).action(
    async (model: string | undefined, options: ExportOptions) => {
      const { exportModel } = await import('../../workflows/export.ts');
      await withTerminal(options, async (terminal) => {
        const settings = targetOptions({ ...options });
        const result = await exportModel({ model, ...options, settings }, terminal);
        terminal.result(result, renderExport(result, terminal));
      });
    },
  );
}
