import { type Command, Option } from 'commander';
import { renderQuantization } from '../../report/quantization.ts';
import { ACTIVATION_TYPES } from '../../workflows/choices.ts';
import {
  addDataOptions,
  addLimitOptions,
  addWriteOptions,
  type DataOptions,
  parseCount,
  type WriteOptions,
} from '../options.ts';
import { withTerminal } from '../with-terminal.ts';

interface QuantizeOptions extends WriteOptions, DataOptions {
  readonly recipe?: string;
  readonly calibration?: string;
  readonly activations?: (typeof ACTIVATION_TYPES)[number];
  readonly maxKl?: number;
  readonly maxDrop?: string;
  readonly maxPerplexityRatio?: number;
  readonly searchSamples?: number;
}

/** Adds `autoglm quantize`. */
export function registerQuantize(program: Command): void {
  const command = program
    .command('quantize')
    .argument('[model]', 'an .onnx file, or a folder with one')
    .description('Quantize the weights, and the activations where the recipe says so.')
    .option('--recipe <name|file>', 'what to quantize and how (default: "w8a8")')
    .option('--calibration <file>', 'calibration.json already made')
    .addOption(
      new Option('--activations <type>', 'element type of what stays float').choices(
        ACTIVATION_TYPES,
      ),
    );
  addLimitOptions(command)
    .option('--search-samples <count>', 'held-out windows of a search', parseCount)
    .addHelpText(
      'after',
      `
Examples:
  $ autoglm quantize model.onnx --data calibration/mixed -o out
  $ autoglm quantize model.onnx --data calibration/mixed -o out --max-kl 0.02
  $ autoglm quantize model.onnx --recipe w8a16 -o out --dry-run`,
    );
  addWriteOptions(addDataOptions(command)).action(
    async (model: string | undefined, options: QuantizeOptions) => {
      const { quantize } = await import('../../workflows/quantize.ts');
      await withTerminal(options, async (terminal) => {
        const result = await quantize({ model, ...options }, terminal);
        terminal.result(result, renderQuantization(result));
      });
    },
  );
}
