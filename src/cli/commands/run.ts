import { type Command, Option } from 'commander';
import { renderRun } from '../../report/run.ts';
import { STAGES } from '../../workflows/pipeline/index.ts';
import { addCommonOptions, type CommonOptions } from '../options.ts';
import { withTerminal } from '../with-terminal.ts';

interface RunOptions extends CommonOptions {
  readonly resume?: true;
  readonly force?: true;
  readonly dryRun?: true;
  readonly from?: string;
  readonly junit?: string;
}

/** Adds `autoglm run`. */
export function registerRun(program: Command): void {
  const command = program
    .command('run')
    .argument('[config]', 'pipeline config (default: ./autoglm.yaml, then ./configs/autoglm.yaml)')
    .description('Run the whole pipeline of a config: calibrate, quantize, export, check, report.')
    .option('--resume', 'go on after the last finished stage')
    .addOption(
      new Option('--from <stage>', 'redo this stage and those that need it').choices(
        STAGES.map(({ name }) => name),
      ),
    )
    .option('--force', 'start again, replacing the stages in the output folder')
    .option('--dry-run', 'print the stages and which are up to date')
    .option('--junit <file>', 'also write JUnit XML there')
    .addHelpText(
      'after',
      `
Examples:
  $ autoglm run configs/autoglm.yaml
  $ autoglm run --resume --json`,
    );
  addCommonOptions(command).action(async (config: string | undefined, options: RunOptions) => {
    const { runPipeline } = await import('../../workflows/run.ts');
    const { enforceGates } = await import('../../workflows/check.ts');
    await withTerminal(options, async (terminal) => {
      const summary = await runPipeline({ config, ...options }, terminal);
      terminal.result(summary, renderRun(summary, terminal));
      if (summary.check !== null) enforceGates(summary.check);
    });
  });
}
