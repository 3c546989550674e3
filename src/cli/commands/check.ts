import type { Command } from 'commander';
import { renderTerminal } from '../../report/terminal.ts';
import type { Device } from '../../runners/runner.ts';
import {
  addCommonOptions,
  addDataOptions,
  type CommonOptions,
  type DataOptions,
  deviceOption,
  parseCount,
} from '../options.ts';
import { withTerminal } from '../with-terminal.ts';

interface CheckOptions extends CommonOptions, DataOptions {
  readonly against?: string;
  readonly output?: string;
  readonly config?: string;
  readonly force?: true;
  readonly device: Device;
  readonly gate?: readonly string[];
  readonly junit?: string;
  readonly latency: boolean;
  readonly contextLength?: number;
}

/** Adds `autoglm check`. */
export function registerCheck(program: Command): void {
  const command = program
    .command('check')
    .argument('[artifact]', 'an .onnx file, or a folder with manifest.json')
    .description(
      'Compare an artifact with its source on held-out data: accuracy, latency, sizes, fused layers; then judge it by the gates.',
    )
    .option('--against <model>', 'the source (default: what the manifest names)')
    .addOption(deviceOption())
    .option('--gate <name=limit...>', 'limits, e.g. maxTop1Drop=0.5pt minSpeedup=1.5')
    .option('--no-latency', 'leave the timing out')
    .option('--context-length <tokens>', 'tokens to time a decoder with (default: 128)', parseCount)
    .option('-o, --output <folder>', 'where check.json and reports go')
    .option('--junit <file>', 'also write JUnit XML there')
    .option('--config <file>', 'config to take the gates and data from')
    .option('--force', 'replace files that exist')
    .addHelpText(
      'after',
      `
Examples:
  $ autoglm check out/model.onnx --against model.onnx --data calibration/mixed
  $ autoglm check out --gate maxTop1Drop=0.5pt --junit junit.xml`,
    );
  addCommonOptions(addDataOptions(command)).action(
    async (artifact: string | undefined, options: CheckOptions) => {
      const { check, enforceGates } = await import('../../workflows/check.ts');
      await withTerminal(options, async (terminal) => {
        const result = await check({ artifact, ...options, gates: options.gate ?? [] }, terminal);
        terminal.result(result, renderTerminal(result, terminal));
        enforceGates(result);
      });
    },
  );
}
