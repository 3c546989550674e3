import type { Command } from 'commander';
import { renderInspection } from '../../report/inspection.ts';
import { addCommonOptions, type CommonOptions } from '../options.ts';
import { withTerminal } from '../with-terminal.ts';

interface InspectOptions extends CommonOptions {
  readonly config?: string;
}

/** Adds `autoglm inspect`. */
export function registerInspect(program: Command): void {
  const command = program
    .command('inspect')
    .argument('[model]', 'an .onnx file, or a folder with one')
    .description(
      'Show what is inside: parameters, bytes, blocks found, quantizable layers, and a size forecast per recipe. Reads no weights.',
    )
    .option('--config <file>', 'config to take the model from')
    .addHelpText(
      'after',
      `
Examples:
  $ autoglm inspect model.onnx
  $ autoglm inspect fixtures/glm-nano/optimum --json`,
    );
  addCommonOptions(command).action(async (model: string | undefined, options: InspectOptions) => {
    const { inspect } = await import('../../workflows/inspect.ts');
    await withTerminal(options, async (terminal) => {
      const summary = await inspect({ model, config: options.config });
      terminal.result(summary, renderInspection(summary, terminal));
    });
  });
}
