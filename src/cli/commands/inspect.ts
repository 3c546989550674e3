import type { Command } from 'commander';
import { UsageError } from '../../errors.ts';
import { renderInspection } from '../../report/inspection.ts';
import { renderPrunable } from '../../report/prunable.ts';
import { renderSensitivity } from '../../report/sensitivity.ts';
import {
  addCommonOptions,
  addDataOptions,
  type CommonOptions,
  type DataOptions,
  parseCount,
} from '../options.ts';
import type { Terminal } from '../terminal.ts';
import { withTerminal } from '../with-terminal.ts';

interface SensitivityOptions extends DataOptions {
  readonly recipe?: string;
  readonly calibration?: string;
  readonly searchSamples?: number;
}

interface InspectOptions extends CommonOptions, SensitivityOptions {
  readonly config?: string;
  readonly sensitivity?: true;
  readonly prunable?: true;
}

/** Adds `autoglm inspect`. */
export function registerInspect(program: Command): void {
  const command = program
    .command('inspect')
    .argument('[model]', 'an .onnx file, or a folder with one')
    .description(
      'Show what is inside: parameters, bytes, blocks found, quantizable layers, and a size forecast per recipe. Reads a sample of the weights alone. With --sensitivity: what INT8 activations cost, layer by layer, measured on held-out data. With --prunable: which channels and heads could go, what each step of them saves, and what cannot and why.',
    )
    .option('--config <file>', 'config to take the model from')
    .option('--sensitivity', 'rank the linear layers by the KL that they add')
    .option('--prunable', 'list what can be pruned and what each step saves; no data needed')
    .option('--recipe <name|file>', 'what is ranked (default: "w8a8")')
    .option('--calibration <file>', 'calibration.json already made')
    .option('--search-samples <count>', 'held-out windows to measure on', parseCount)
    .addHelpText(
      'after',
      `
Examples:
  $ autoglm inspect model.onnx
  $ autoglm inspect model.onnx --prunable
  $ autoglm inspect model.onnx --sensitivity --data calibration/mixed`,
    );
  addCommonOptions(addDataOptions(command)).action(
    async (model: string | undefined, options: InspectOptions) => {
      if (options.sensitivity !== true) refuseMeasuring(options);
      if (options.sensitivity === true && options.prunable === true) {
        throw new UsageError(
          '--prunable: lists groups and measures nothing (got --sensitivity as well). Ask for one of them.',
        );
      }
      await withTerminal(options, (terminal) => show(model, options, terminal));
    },
  );
}

async function show(
  model: string | undefined,
  options: InspectOptions,
  terminal: Terminal,
): Promise<void> {
  if (options.prunable === true) {
    const { inspectPrunable } = await import('../../workflows/inspect-prunable.ts');
    const outcome = await inspectPrunable({ model, config: options.config });
    terminal.result(outcome, renderPrunable(outcome, terminal));
    return;
  }
  const { inspect } = await import('../../workflows/inspect.ts');
  const summary = await inspect({ model, config: options.config });
  if (options.sensitivity !== true) {
    terminal.result(summary, renderInspection(summary, terminal));
    return;
  }
  const { inspectSensitivity } = await import('../../workflows/inspect-sensitivity.ts');
  const sensitivity = await inspectSensitivity({ model, ...options }, terminal);
  terminal.result({ ...summary, sensitivity }, renderSensitivity(sensitivity, { all: true }));
}

/** Without `--sensitivity` nothing is measured, and an option that asks for it would be lost. */
function refuseMeasuring(options: InspectOptions): void {
  const { recipe, calibration, searchSamples, data, samples, sequenceLength, seed } = options;
  const given = Object.entries({
    '--recipe': recipe,
    '--calibration': calibration,
    '--search-samples': searchSamples,
    '--data': data,
    '--samples': samples,
    '--sequence-length': sequenceLength,
    '--seed': seed,
  }).find(([, value]) => value !== undefined);
  if (given === undefined) return;
  throw new UsageError(
    `${given[0]}: nothing is measured by a plain inspection. Add --sensitivity to measure.`,
  );
}
