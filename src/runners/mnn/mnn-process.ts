import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:os';
import { RunnerError } from '../../errors.ts';
import { killAtExit } from '../process/living-processes.ts';
import { WORKER_SCRIPT } from './worker-script.ts';

/** Bytes of the process's prints kept to explain a crash. */
const STDERR_TAIL = 16 * 1024;

/** An answer: what the header says, and the bytes of the tensors behind it. */
export interface Answer {
  readonly header: Readonly<Record<string, unknown>>;
  readonly payload: readonly Uint8Array[];
}

/** A Python process with MNN in it, which answers one request after the other. */
export interface MnnProcess {
  /** Sends a request with the bytes behind it. Rejects with {@link RunnerError} saying what the runtime said, or how it died. */
  ask(request: Readonly<Record<string, unknown>>, payload?: readonly Uint8Array[]): Promise<Answer>;
  stop(): Promise<void>;
}

interface Waiting {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
}

/** Starts the process. */
export function startMnn(python: string): MnnProcess {
  const child = killAtExit(spawn(python, ['-c', WORKER_SCRIPT], { stdio: 'pipe' }));
  const waiting: Waiting[] = [];
  let said = '';
  let ended: string | undefined;
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-STDERR_TAIL);
  });
  child.stdout.on(
    'data',
    frameReader((answer) => {
      const { error } = answer.header;
      const next = waiting.shift();
      if (waiting.length === 0) setReferenced(child, false);
      if (typeof error === 'string')
        next?.reject(new RunnerError(`MNN: ${error} (${lastLine(said)}).`));
      else next?.resolve(answer);
    }),
  );
  const gone = new Promise<void>((resolve) => {
    const end = (reason: string): void => {
      ended ??= reason;
      for (const { reject } of waiting.splice(0)) reject(new RunnerError(ended));
      resolve();
    };
    child.on('error', ({ message }) => end(`${python}: ${message}.`));
    child.on('close', (code, signal) => end(describeEnd(code, signal, said)));
  });
  // A process that has died says more when it closes than this pipe does.
  child.stdin.on('error', () => undefined);
  setReferenced(child, false);
  return {
    ask: (request, payload = []) =>
      new Promise((resolve, reject) => {
        if (ended !== undefined) {
          reject(new RunnerError(ended));
          return;
        }
        waiting.push({ resolve, reject });
        setReferenced(child, true);
        const header = Buffer.from(JSON.stringify(request));
        const length = Buffer.alloc(4);
        length.writeUInt32LE(header.length);
        for (const part of [length, header, ...payload]) child.stdin.write(part);
      }),
    async stop() {
      ended ??= 'session: it is closed. Open it again.';
      child.ref();
      child.kill('SIGKILL');
      await gone;
    },
  };
}

/** An idle process does not keep this one alive. */
function setReferenced(child: ChildProcess, isReferenced: boolean): void {
  for (const part of [child, child.stdin, child.stdout, child.stderr]) {
    const handle = part as { ref?(): void; unref?(): void } | null;
    if (isReferenced) handle?.ref?.();
    else handle?.unref?.();
  }
}

/** Returns what takes parts of a stream of frames and calls back with each whole one. */
function frameReader(onAnswer: (answer: Answer) => void): (part: Buffer) => void {
  let parts: Buffer[] = [];
  let size = 0;
  let header: Readonly<Record<string, unknown>> | undefined;
  let wanted = 4;
  let isLength = true;
  const step = (bytes: Buffer): void => {
    if (isLength) {
      isLength = false;
      wanted = bytes.readUInt32LE(0);
    } else if (header === undefined) {
      header = JSON.parse(bytes.toString('utf8')) as Readonly<Record<string, unknown>>;
      wanted = lengthsOf(header).reduce((sum, length) => sum + length, 0);
      if (wanted === 0) finish(Buffer.alloc(0));
    } else finish(bytes);
  };
  const finish = (bytes: Buffer): void => {
    const whole = header ?? {};
    let at = 0;
    const payload = lengthsOf(whole).map((length) => {
      at += length;
      return new Uint8Array(bytes.subarray(at - length, at));
    });
    header = undefined;
    isLength = true;
    wanted = 4;
    onAnswer({ header: whole, payload });
  };
  return (part) => {
    parts.push(part);
    size += part.length;
    while (size >= wanted) {
      const all = Buffer.concat(parts);
      const bytes = all.subarray(0, wanted);
      parts = [all.subarray(wanted)];
      size = all.length - bytes.length;
      step(bytes);
    }
  };
}

function lengthsOf({ payload }: Readonly<Record<string, unknown>>): readonly number[] {
  return Array.isArray(payload) ? payload.map(Number) : [];
}

function describeEnd(code: number | null, signal: NodeJS.Signals | null, said: string): string {
  const words = lastLine(said);
  const quote = words === '' ? '' : ` It last said: ${words}`;
  if (signal === 'SIGKILL') {
    return 'MNN: killed by the system, most likely because memory ran out. Use shorter samples, or a machine with more memory.';
  }
  if (signal !== null) {
    return `MNN: the runtime crashed (${signal}, signal ${constants.signals[signal]}).${quote}`;
  }
  return `MNN: ended unexpectedly (exit code ${code}).${quote}`;
}

/** Banners about the machine explain nothing. */
function lastLine(text: string): string {
  const lines = text.split('\n').map((line) => line.trim());
  const isBanner = (line: string): boolean => /^(CPU Group|The device supports|MNN use)/.test(line);
  return lines.filter((line) => line !== '' && !isBanner(line)).at(-1) ?? '';
}
