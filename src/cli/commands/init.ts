import type { Command } from 'commander';
import { addCommonOptions, type CommonOptions } from '../options.ts';
import { withTerminal } from '../with-terminal.ts';

interface InitOptions extends CommonOptions {
  readonly force?: true;
}

/** Adds `autoglm init`. */
export function registerInit(program: Command): void {
  const command = program
    .command('init')
    .argument('[file]', 'config to write', 'autoglm.yaml')
    .description('Write a commented config.')
    .option('--force', 'replace the file if it exists')
    .addHelpText(
      'after',
      `
Examples:
  $ autoglm init
  $ autoglm init configs/phone.yaml`,
    );
  addCommonOptions(command).action(async (file: string, options: InitOptions) => {
    const { writeStarterConfig } = await import('../../workflows/init.ts');
    await withTerminal(options, async (terminal) => {
      const result = await writeStarterConfig(file, options.force ?? false);
      terminal.result(result, `Wrote ${result.path}. Name your model and data in it.`);
    });
  });
}
