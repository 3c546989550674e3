import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import {
  ChildCommandError,
  compiledEntry,
  startChild,
} from '../../../src/runners/process/child.ts';
import { temporaryFolder } from '../../kit/temporary-folder.ts';

const COMMANDS = pathToFileURL(
  compiledEntry(
    new URL('../../../src/runners/process/child.ts', import.meta.url).href,
    'child-commands',
  ),
).href;

type EchoCommands = {
  echo: { input: unknown; output: unknown };
  fail: { input: string; output: never };
  exit: { input: number; output: never };
  signal: { input: string; output: never };
  hang: { input: undefined; output: never };
};

/** A child of few words, written as compiled code would be. */
function writeEntry(): string {
  const path = join(temporaryFolder(), 'echo-process.mjs');
  writeFileSync(
    path,
    `import { serveCommands } from ${JSON.stringify(COMMANDS)};
     console.log('not over my progress bar');
     serveCommands({
       echo: async (input) => input,
       fail: async (message) => { throw new Error(message); },
       exit: async (code) => { console.error('\\u001b[31mfatal: out of luck\\u001b[0m'); process.exit(code); },
       signal: async (name) => { process.kill(process.pid, name); await new Promise(() => {}); },
       hang: async () => { for (;;); },
     });`,
  );
  return path;
}

describe('a child process', () => {
  it('answers calls in order and carries typed arrays and maps', async () => {
    const child = startChild<EchoCommands>(writeEntry());
    const value = new Map([['a', { data: Float32Array.of(1, 2), big: 2n ** 60n }]]);
    expect(await Promise.all([child.call('echo', value), child.call('echo', 2)])).toEqual([
      value,
      2,
    ]);
    await child.stop();
  });

  it('sends only the seen part of a typed array', async () => {
    const child = startChild<EchoCommands>(writeEntry());
    const part = new Float32Array(1 << 20).subarray(5, 8).fill(7);
    const back = (await child.call('echo', part)) as Float32Array;
    expect(back).toEqual(Float32Array.of(7, 7, 7));
    expect(back.buffer.byteLength).toBeLessThan(1 << 20);
    await child.stop();
  });

  it('passes on what a command throws and lives on', async () => {
    const child = startChild<EchoCommands>(writeEntry());
    await expect(child.call('fail', 'no such thing')).rejects.toThrow(ChildCommandError);
    expect(await child.call('echo', 1)).toBe(1);
    await child.stop();
  });

  it('tells an exit, a crash and a kill apart, quoting the last words', async () => {
    await expect(startChild<EchoCommands>(writeEntry()).call('exit', 3)).rejects.toThrow(
      'ended unexpectedly (exit code 3). It last said: fatal: out of luck',
    );
    await expect(startChild<EchoCommands>(writeEntry()).call('signal', 'SIGSEGV')).rejects.toThrow(
      /crashed \(SIGSEGV, signal 11\)/,
    );
    await expect(startChild<EchoCommands>(writeEntry()).call('signal', 'SIGKILL')).rejects.toThrow(
      /memory ran out/,
    );
  });

  it('rejects later calls with the same reason', async () => {
    const child = startChild<EchoCommands>(writeEntry());
    await expect(child.call('exit', 4)).rejects.toThrow(/exit code 4/);
    await expect(child.call('echo', 1)).rejects.toThrow(/exit code 4/);
    await child.stop();
  });

  it('can be stopped while it is busy for ever', async () => {
    const child = startChild<EchoCommands>(writeEntry());
    await child.call('echo', 1);
    const busy = child.call('hang', undefined);
    const rejected = expect(busy).rejects.toThrow(/closed/);
    await child.stop();
    await rejected;
  });

  it('neither keeps an idle parent alive nor outlives it', async () => {
    const module = pathToFileURL(
      compiledEntry(
        new URL('../../../src/runners/process/child.ts', import.meta.url).href,
        'child',
      ),
    ).href;
    const folder = temporaryFolder();
    const script = join(folder, 'parent.mjs');
    const pidFile = join(folder, 'pid');
    writeFileSync(
      script,
      `import { startChild } from ${JSON.stringify(module)};
       import { writeFileSync } from 'node:fs';
       const child = startChild(${JSON.stringify(writePidEntry(pidFile))});
       await child.call('echo', 1);`,
    );
    const parent = spawnSync(process.execPath, [script], { timeout: 20_000 });
    expect(parent.status).toBe(0);
    const pid = readFileSync(pidFile, 'utf8');
    // `ps` fails when nothing has that id; a killed child may take a moment to be reaped.
    await expect.poll(() => spawnSync('kill', ['-0', pid]).status, { timeout: 5000 }).not.toBe(0);
  });
});

function writePidEntry(pidFile: string): string {
  const path = join(temporaryFolder(), 'pid-process.mjs');
  writeFileSync(
    path,
    `import { writeFileSync } from 'node:fs';
     import { serveCommands } from ${JSON.stringify(COMMANDS)};
     writeFileSync(${JSON.stringify(pidFile)}, String(process.pid));
     serveCommands({ echo: async (input) => input });`,
  );
  return path;
}

describe('the compiled entry', () => {
  it('is beside a compiled module and under dist/ for a source module', () => {
    expect(compiledEntry('file:///a/src/b/dist/runners/child.js', 'x')).toBe(
      '/a/src/b/dist/runners/x.js',
    );
    expect(compiledEntry('file:///a/src/b/src/runners/child.ts', 'x')).toBe(
      '/a/src/b/dist/runners/x.js',
    );
  });
});
