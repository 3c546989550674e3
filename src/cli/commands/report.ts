import { type Command, Option } from 'commander';
import { renderTerminal } from '../../report/terminal.ts';
import { REPORT_FORMATS, type ReportFormat } from '../../workflows/choices.ts';
import { addCommonOptions, type CommonOptions } from '../options.ts';
import { withTerminal } from '../with-terminal.ts';

interface ReportOptions extends CommonOptions {
  readonly format?: ReportFormat;
  readonly output?: string;
  readonly config?: string;
  readonly force?: true;
}

/** Adds `autoglm report`. */
export function registerReport(program: Command): void {
  const command = program
    .command('report')
    .argument('[folder]', 'folder of a run or check (default: that of the config)')
    .description('Show a finished check, or write it in another form.')
    .addOption(new Option('--format <format>', 'form of the report').choices(REPORT_FORMATS))
    .option('-o, --output <file>', 'file to write (default: print it)')
    .option('--config <file>', 'config whose output folder is meant')
    .option('--force', 'replace the file if it exists')
    .addHelpText(
      'after',
      `
Examples:
  $ autoglm report out
  $ autoglm report out --format html -o report.html`,
    );
  addCommonOptions(command).action(async (folder: string | undefined, options: ReportOptions) => {
    const { report } = await import('../../workflows/report.ts');
    await withTerminal(options, async (terminal) => {
      const { result, rendered } = await report({ folder, ...options });
      const text =
        options.output !== undefined
          ? `Wrote ${options.output}.`
          : (rendered?.trimEnd() ?? renderTerminal(result, terminal));
      terminal.result(result, text);
    });
  });
}
