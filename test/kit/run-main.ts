import { vi } from 'vitest';
import { main } from '../../src/cli/main.ts';

/** What a command printed on standard output with `--json`, and its exit code. */
export interface MainOutcome {
  readonly code: number;
  readonly text: string;
  /** The document in `text`. */
  readonly json: Record<string, unknown>;
}

/** Runs the command line inside the test process, where lists of parts can be changed, with `--json`. */
export async function runMain(...args: string[]): Promise<MainOutcome> {
  let text = '';
  const write = vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => {
    text += String(chunk);
    return true;
  });
  const quiet = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  try {
    const code = await main([...args, '--json']);
    return { code, text, json: JSON.parse(text) };
  } finally {
    write.mockRestore();
    quiet.mockRestore();
  }
}
