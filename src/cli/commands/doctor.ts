import type { Command } from 'commander';
import { renderDevices } from '../../report/devices.ts';
import { addCommonOptions, type CommonOptions } from '../options.ts';
import { withTerminal } from '../with-terminal.ts';

/** Adds `autoglm doctor`. */
export function registerDoctor(program: Command): void {
  const command = program
    .command('doctor')
    .description('Say what this machine can run, and why not the rest.')
    .addHelpText(
      'after',
      `
Examples:
  $ autoglm doctor
  $ autoglm doctor --json`,
    );
  addCommonOptions(command).action(async (options: CommonOptions) => {
    const { diagnose } = await import('../../workflows/doctor.ts');
    await withTerminal(options, async (terminal) => {
      const report = await diagnose();
      terminal.result(report, renderDevices(report));
    });
  });
}
