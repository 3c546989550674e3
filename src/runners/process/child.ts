import { type ChildProcess, fork } from 'node:child_process';
import { constants } from 'node:os';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RunnerError } from '../../errors.ts';
import type { AnswerMessage, CommandMap } from './child-commands.ts';
import { killAtExit } from './living-processes.ts';

/** A child process that answers commands. An idle one does not keep the parent alive. */
export interface Child<C extends CommandMap> {
  /**
   * Runs a command in the child. Rejects with {@link ChildCommandError} when the command threw, and
   * with {@link RunnerError} when the process ended, with the reason in words.
   */
  call<K extends keyof C & string>(command: K, input: C[K]['input']): Promise<C[K]['output']>;
  /** Ends the process and waits until it is gone. Open calls reject. Safe to call twice. */
  stop(): Promise<void>;
}

/** What a command threw inside the child; the message is the runtime's own. */
export class ChildCommandError extends RunnerError {}

/**
 * onnxruntime 1.30 sends usage events on Linux and macOS unless this is set or it runs in CI, and leaves
 * `.ses` and `mat-debug-*` files in the temporary folder. What the user has set wins.
 */
const QUIET = { ORT_DISABLE_TELEMETRY: '1' };

/** Bytes of the child's stderr kept to explain a crash. */
const STDERR_TAIL = 16 * 1024;

/**
 * Returns the compiled file of a child's entry module, `name` beside the module at `moduleUrl`. Child
 * processes always run JavaScript: from `src/*.ts` the entry is looked up under `dist/`.
 */
export function compiledEntry(moduleUrl: string, name: string): string {
  const compiled = moduleUrl.endsWith('.ts')
    ? moduleUrl.replace(/\/src\/(?!.*\/src\/)/, '/dist/')
    : moduleUrl;
  return fileURLToPath(new URL(`./${name}.js`, compiled));
}

/**
 * Starts a child process that answers the commands of its entry module. What the runtime prints is
 * kept back, so it cannot tear a progress bar; its end is quoted when the process crashes.
 */
export function startChild<C extends CommandMap>(entry: string): Child<C> {
  const child = killAtExit(
    fork(entry, [], {
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
      execArgv: [],
      env: { ...QUIET, ...process.env },
    }),
  );
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-STDERR_TAIL);
  });
  const pending = new Map<number, PendingCall>();
  let ended: string | undefined;
  let lastId = 0;
  const settle = (id: number): PendingCall | undefined => {
    const call = pending.get(id);
    pending.delete(id);
    if (pending.size === 0) unref(child);
    return call;
  };
  const gone = new Promise<void>((resolve) => {
    const end = (reason: string): void => {
      ended ??= reason;
      for (const id of [...pending.keys()]) settle(id)?.reject(new RunnerError(ended));
      resolve();
    };
    child.on('error', (error) => end(`${basename(entry)}: ${error.message}.`));
    // 'close', not 'exit': the last words on stderr have then been read.
    child.on('close', (code, signal) => end(describeEnd(entry, code, signal, stderr)));
  });
  child.on('message', (message) => {
    const answer = message as AnswerMessage;
    const call = settle(answer.id);
    if ('error' in answer) call?.reject(new ChildCommandError(answer.error));
    else call?.resolve(answer.output);
  });
  unref(child);
  return {
    call: (command, input) =>
      new Promise((resolve, reject) => {
        if (ended !== undefined) {
          reject(new RunnerError(ended));
          return;
        }
        const id = ++lastId;
        pending.set(id, { resolve: resolve as (output: unknown) => void, reject });
        ref(child);
        child.send({ id, command, input }, (error) => {
          // A dead process reports its own, better reason through 'close'.
          if (error !== null && child.exitCode === null && child.signalCode === null) {
            settle(id)?.reject(new RunnerError(`${basename(entry)}: ${error.message}.`));
          }
        });
      }),
    async stop() {
      ended ??= 'session: it is closed. Open it again.';
      ref(child);
      child.kill('SIGKILL');
      await gone;
    },
  };
}

interface PendingCall {
  readonly resolve: (output: unknown) => void;
  readonly reject: (error: Error) => void;
}

function ref(child: ChildProcess): void {
  child.ref();
  child.channel?.ref();
}

function unref(child: ChildProcess): void {
  child.unref();
  child.channel?.unref();
  const stderr = child.stderr as (NodeJS.ReadableStream & { unref?(): void }) | null;
  stderr?.unref?.();
}

function describeEnd(
  entry: string,
  code: number | null,
  signal: NodeJS.Signals | null,
  stderr: string,
): string {
  const where = basename(entry, '.js').replace('-', ' ');
  const said = lastLine(stderr);
  const quote = said === '' ? '' : ` It last said: ${said}`;
  if (signal === 'SIGKILL') {
    return `${where}: killed by the system, most likely because memory ran out. Use fewer or shorter samples, or a machine with more memory.`;
  }
  if (/heap out of memory|bad_alloc/i.test(stderr)) {
    return `${where}: ran out of memory. Use fewer or shorter samples, or a machine with more memory.`;
  }
  if (signal !== null) {
    const number = constants.signals[signal];
    return `${where}: the runtime crashed (${signal}, signal ${number}).${quote}`;
  }
  return `${where}: ended unexpectedly (exit code ${code}).${quote}`;
}

function lastLine(text: string): string {
  // Colour codes of the runtime's log.
  const plain = text.replace(new RegExp(`${String.fromCharCode(27)}\\[[0-9;]*m`, 'g'), '');
  const lines = plain.split('\n').map((line) => line.trim());
  return lines.filter((line) => line !== '').at(-1) ?? '';
}
