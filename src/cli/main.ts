import { Command, CommanderError } from 'commander';
import { EXIT_CODE, UsageError } from '../errors.ts';
import { VERSION } from '../version.ts';
import { registerCalibrate } from './commands/calibrate.ts';
import { registerCheck } from './commands/check.ts';
import { registerDoctor } from './commands/doctor.ts';
import { registerExport } from './commands/export.ts';
import { registerInit } from './commands/init.ts';
import { registerInspect } from './commands/inspect.ts';
import { registerPrune } from './commands/prune.ts';
import { registerQuantize } from './commands/quantize.ts';
import { registerRecipe } from './commands/recipe.ts';
import { registerReport } from './commands/report.ts';
import { registerRun } from './commands/run.ts';
import { reportError } from './terminal.ts';

const DESCRIPTION = `Compress FP16 ONNX transformers and prove the result against the source.

Verbs without a model take it from --config, ./autoglm.yaml or
./configs/autoglm.yaml.`;

const EXAMPLES = `
Examples:
  $ autoglm run configs/autoglm.yaml
  $ autoglm quantize model.onnx --data calibration/mixed -o out

Exit codes: 0 done, 1 internal failure, 2 usage or config, 3 a gate failed,
4 input file refused, 5 unsupported by the target, 6 device or runtime missing`;

/** Returns the command line as commander sees it: every verb with its options and help. */
export function createProgram(): Command {
  const program = new Command('autoglm')
    .description(DESCRIPTION)
    .version(VERSION)
    .addHelpText('after', EXAMPLES)
    .configureHelp({ helpWidth: 80 })
    // Without it `calibrate merge a b -o out` gives -o to calibrate, which has one of its own.
    .enablePositionalOptions()
    // main prints errors, all in one form.
    .configureOutput({ outputError: () => {} })
    .exitOverride();
  for (const register of [
    registerInspect,
    registerCalibrate,
    registerPrune,
    registerQuantize,
    registerExport,
    registerCheck,
    registerRun,
    registerReport,
    registerDoctor,
    registerRecipe,
    registerInit,
  ]) {
    register(program);
  }
  return program;
}

/** Runs the command line and returns the exit code; never throws, never exits the process. */
export async function main(args: readonly string[]): Promise<number> {
  for (const stream of [process.stdout, process.stderr]) {
    stream.removeListener('error', allowClosedPipe).on('error', allowClosedPipe);
  }
  try {
    await createProgram().parseAsync(args, { from: 'user' });
    return process.exitCode === undefined ? EXIT_CODE.done : Number(process.exitCode);
  } catch (error) {
    if (error instanceof CommanderError) {
      // Help and the version have been printed.
      if (error.exitCode === 0) return EXIT_CODE.done;
      if (error.code === 'commander.help') return EXIT_CODE.usage;
      return reportError(usageError(error), args.includes('--json'));
    }
    return reportError(error, args.includes('--json'));
  }
}

/** A reader that has seen enough (`| head`) is no failure; a full disk is one, where it can be said. */
function allowClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') return;
  process.stderr.write(
    `autoglm: output: cannot be written (${error.message}). Make room for it.\n`,
  );
  process.exit(EXIT_CODE.usage);
}

function usageError(error: CommanderError): UsageError {
  const what = error.message
    .replace(/^error: /, '')
    .replace(/\.?\s*\n?\((Did you mean .*)\)$/, '. $1');
  const end = /[.?]$/.test(what) ? '' : '.';
  return new UsageError(`${what}${end} See "autoglm --help".`, { cause: error });
}
