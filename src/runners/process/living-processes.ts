import { type ChildProcess, spawn } from 'node:child_process';

const living = new Set<ChildProcess>();
// Before temporary folders are removed, into which a child may be writing.
process.prependListener('exit', () => {
  for (const child of living) kill(child);
});

/** Has a child process killed when this process exits before it; returns the child. */
export function killAtExit<T extends ChildProcess>(child: T): T {
  living.add(child);
  child.on('exit', () => living.delete(child));
  return child;
}

/** Leads a process group of its own. */
const leaders = new WeakSet<ChildProcess>();

function kill(child: ChildProcess): void {
  try {
    if (child.pid !== undefined && leaders.has(child)) process.kill(-child.pid, 'SIGKILL');
    else child.kill('SIGKILL');
  } catch {
    // It has just ended.
  }
}

/** How a program ended. */
export interface ProgramEnd {
  /** Undefined when it was killed or could not be started. */
  readonly exitCode: number | undefined;
  /** The last line that it printed which is not empty, on either stream; the reason when it did not start. */
  readonly lastLine: string;
}

/**
 * Runs a program that may start others, such as a script, and waits for its end. When this process exits
 * first, all of them are killed.
 */
export function runProgram(
  path: string,
  args: readonly string[],
  options: { readonly cwd: string; readonly env: NodeJS.ProcessEnv },
): Promise<ProgramEnd> {
  return new Promise((resolve) => {
    // A group of its own where there are groups: killing a shell does not kill what it runs.
    const detached = process.platform !== 'win32';
    const child = killAtExit(
      spawn(path, args, { ...options, detached, stdio: ['ignore', 'pipe', 'pipe'] }),
    );
    if (detached) leaders.add(child);
    let tail = '';
    const keep = (text: string): void => {
      tail = (tail + text).slice(-TAIL_CHARACTERS);
    };
    child.stdout.setEncoding('utf8').on('data', keep);
    child.stderr.setEncoding('utf8').on('data', keep);
    child.on('error', ({ message }) => resolve({ exitCode: undefined, lastLine: message }));
    child.on('close', (code) =>
      resolve({
        exitCode: code ?? undefined,
        lastLine: tail.trimEnd().split('\n').at(-1)?.trim() ?? '',
      }),
    );
  });
}

const TAIL_CHARACTERS = 16 * 1024;
