import type { CommonOptions } from './options.ts';
import { openTerminal, type Terminal } from './terminal.ts';

/** Runs a command with its terminal, which is closed whether the command succeeds or fails. */
export async function withTerminal(
  options: CommonOptions,
  command: (terminal: Terminal) => Promise<void>,
): Promise<void> {
  const terminal = openTerminal({ json: options.json ?? false, quiet: options.quiet ?? false });
  try {
    await command(terminal);
  } finally {
    terminal.close();
  }
}
