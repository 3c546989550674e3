import { AutoglmError, EXIT_CODE, type ExitCode } from '../errors.ts';
import { withoutControls } from '../report/without-controls.ts';
import type { ProgressEvent, Reporter } from '../workflows/progress.ts';
import { createProgressBars, createProgressLines } from './progress.ts';

/** How a command talks: results on stdout, everything else on stderr. */
export interface TerminalOptions {
  readonly json: boolean;
  readonly quiet: boolean;
}

/** The two streams of a command, and the listener that its workflow reports to. */
export interface Terminal extends Reporter {
  readonly color: boolean;
  readonly width: number;
  /** Prints the result: `data` as one JSON document with `--json`, else `text`. */
  result(data: unknown, text: string): void;
  /** Ends progress display; must be called before the result and on failure. */
  close(): void;
}

/** An empty variable counts as none (no-color.org). */
function isSet(name: string): boolean {
  return (process.env[name] ?? '') !== '';
}

/** Opens the terminal of one command. Bars are drawn on an interactive stderr, plain lines elsewhere. */
export function openTerminal(options: TerminalOptions): Terminal {
  const { stderr, stdout } = process;
  const interactive = stderr.isTTY === true && !options.quiet && !isSet('CI');
  const display = options.quiet
    ? { update: (_: ProgressEvent) => {}, close: () => {} }
    : interactive
      ? createProgressBars(stderr)
      : createProgressLines((line) => stderr.write(`${withoutControls(line)}\n`));
  const say = (line: string): void => {
    display.close();
    stderr.write(`${withoutControls(line)}\n`);
  };
  return {
    color: stdout.isTTY === true && !isSet('NO_COLOR'),
    width: Math.max(60, Math.min(stdout.columns ?? 80, 120)),
    progress: display.update,
    warn: (message) => say(`warning: ${message}`),
    note: (message) => {
      if (!options.quiet) say(message);
    },
    result(data, text) {
      display.close();
      stdout.write(options.json ? `${JSON.stringify(data, undefined, 2)}\n` : `${text}\n`);
    },
    close: display.close,
  };
}

/**
 * Prints an error and returns its exit code. Errors that a person can act on are one sentence;
 * anything else is a defect and shows its stack, so that it can be reported.
 */
export function reportError(error: unknown, json: boolean): ExitCode {
  const known = error instanceof AutoglmError;
  const exitCode = known ? error.exitCode : EXIT_CODE.internal;
  // A failed gate is told by the result itself, which has been printed.
  if (json && exitCode !== EXIT_CODE.gateFailed) {
    const name = error instanceof Error ? error.name : 'Error';
    const message = error instanceof Error ? error.message : String(error);
    process.stdout.write(
      `${JSON.stringify({ schema: 'autoglm.error/1', error: { name, message, exitCode } }, undefined, 2)}\n`,
    );
  }
  if (known) {
    process.stderr.write(`autoglm: ${withoutControls(error.message)}\n`);
  } else {
    const detail = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stderr.write(`autoglm: internal error, please report it with this text:\n${detail}\n`);
  }
  return exitCode;
}
