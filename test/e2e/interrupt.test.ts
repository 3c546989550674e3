import { spawn } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { root } from '../kit/paths.ts';
import { spawnAutoglm } from '../kit/spawn-autoglm.ts';
import { sharedFolder, temporaryFolder } from '../kit/temporary-folder.ts';

const MODEL = join(root, 'fixtures/glm-nano/optimum');
const DATA = ['--data', join(root, 'calibration/text'), '--sequence-length', '16'];
const SIGNALS = [
  { signal: 'SIGINT', code: 130 },
  { signal: 'SIGTERM', code: 143 },
] as const;

/** What the verbs start from, made once: a calibration and an artifact. */
const base = sharedFolder();
const calibration = ['--calibration', join(base, 'made/calibration.json')];
beforeAll(async () => {
  const args = [MODEL, ...DATA, '--samples', '2', '-o', join(base, 'made')];
  expect((await spawnAutoglm(['calibrate', ...args])).code).toBe(0);
  expect((await spawnAutoglm(['quantize', ...args, ...calibration, '--force'])).code).toBe(0);
});

interface Place {
  /** `TMPDIR` of the command. */
  readonly temporary: string;
  /** Folder that the output goes into. */
  readonly home: string;
}

/** Starts a command in a group of its own, as a shell does, with its temporary folder and home to itself. */
function start(args: readonly string[], { temporary, home }: Place, path = '') {
  const child = spawn(process.execPath, [join(root, 'bin/autoglm.js'), ...args], {
    env: {
      ...process.env,
      PATH: `${path}:${process.env['PATH']}`,
      TMPDIR: temporary,
      XDG_CACHE_HOME: join(base, 'cache'),
    },
    cwd: home,
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  return { child, ended, said: () => stderr };
}

function makePlace(): Place {
  const folder = temporaryFolder();
  const place = { temporary: join(folder, 'tmp'), home: join(folder, 'home') };
  mkdirSync(place.temporary);
  mkdirSync(place.home);
  return place;
}

/** Processes whose temporary folder is that of the command: itself and all it started. Linux only. */
function processesOf({ temporary }: Place): readonly string[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc').filter((id) => {
    try {
      return readFileSync(`/proc/${id}/environ`, 'latin1').includes(`TMPDIR=${temporary}\0`);
    } catch {
      return false;
    }
  });
}

interface Case {
  readonly what: string;
  readonly args: (home: string) => readonly string[];
  /** The moment to interrupt: a name in the temporary folder or, written `home/...`, beside the output. */
  readonly at: RegExp;
}

const named = (verb: string, ...more: readonly string[]) => {
  return () => [verb, MODEL, ...DATA, '--samples', '2', ...more, '-o', 'out/of/all'];
};

const CASES: readonly Case[] = [
  { what: 'calibrate', args: named('calibrate'), at: /^autoglm-/ },
  { what: 'quantize, in its calibration', args: named('quantize'), at: /^autoglm-/ },
  {
    what: 'quantize, as it writes',
    args: named('quantize', ...calibration),
    at: /^home\/.*partial\/.*model\.onnx/,
  },
  {
    what: 'quantize, in the second moments of GPTQ',
    args: named('quantize', '--recipe', 'w4a16-g32', ...calibration),
    at: /^autoglm-moments-/,
  },
  {
    what: 'quantize, in a search',
    args: named('quantize', '--max-kl', '0.0001', '--search-samples', '2', ...calibration),
    at: /^autoglm-.*\/candidate\.onnx$/,
  },
  {
    what: 'export --target onnx',
    args: named('export', '--target', 'onnx', ...calibration),
    at: /^autoglm-export-/,
  },
  {
    what: 'export --target tensorrt, as it plans',
    args: named('export', '--target', 'tensorrt'),
    at: /^autoglm-plan-/,
  },
  {
    what: 'export --target tensorrt, with the twin written',
    args: named('export', '--target', 'tensorrt', ...calibration),
    at: /^autoglm-export-.*\/tensorrt-twin\.onnx$/,
  },
  {
    what: 'check',
    args: () => [
      'check',
      join(base, 'made'),
      '--against',
      MODEL,
      ...DATA,
      '--samples',
      '1',
      '-o',
      'out',
    ],
    at: /^autoglm-.*\/float32-twin\.onnx$/,
  },
  {
    what: 'inspect --sensitivity',
    args: () => [
      'inspect',
      MODEL,
      '--sensitivity',
      ...DATA,
      '--search-samples',
      '2',
      ...calibration,
    ],
    at: /^autoglm-/,
  },
  { what: 'run', args: writeConfig, at: /^autoglm-/ },
];

function writeConfig(home: string): readonly string[] {
  const path = join(base, `${home.split('/').at(-2)}.yaml`);
  const lines = [`model: ${MODEL}`, `data: ${join(root, 'calibration/text')}`];
  lines.push(`output: ${join(home, 'out')}`, 'quantize: { recipe: w8a8 }');
  writeFileSync(path, lines.join('\n'));
  return ['run', path];
}

/** Everything under the temporary folder, and with `home/` in front under the output's. */
function present({ temporary, home }: Place): readonly string[] {
  const under = (folder: string): readonly string[] => {
    try {
      return readdirSync(folder, { recursive: true }).map(String);
    } catch {
      // A folder went while it was read.
      return [];
    }
  };
  return [...under(temporary), ...under(home).map((name) => `home/${name}`)];
}

async function interrupt(
  { args, at }: Case,
  send: (child: { readonly pid?: number | undefined }) => void,
): Promise<{ readonly code: number | null; readonly place: Place }> {
  const place = makePlace();
  const { child, ended, said } = start(args(place.home), place);
  while (!present(place).some((name) => at.test(name)) && child.exitCode === null) await sleep(5);
  expect(child.exitCode, `it ended before that moment: ${said()}`).toBe(null);
  send(child);
  return { code: await ended, place };
}

async function expectNothingLeft(place: Place): Promise<void> {
  const left = present(place);
  // A search keeps its evaluations on purpose, and goes on with them.
  const kept = left.filter((name) => name.includes('/.search-cache'));
  const isKept = (name: string): boolean => kept.some((path) => `${path}/`.startsWith(`${name}/`));
  expect(left.filter((name) => !isKept(name))).toEqual([]);
  // A killed process may take a moment to be reaped.
  await expect.poll(() => processesOf(place), { timeout: 10_000 }).toEqual([]);
}

describe.each(CASES)('$what, interrupted', (test) => {
  it.each(SIGNALS)('by $signal leaves no file, folder or process', async ({ signal, code }) => {
    const ended = await interrupt(test, ({ pid }) => process.kill(pid!, signal));
    expect(ended.code).toBe(code);
    await expectNothingLeft(ended.place);
  });
});

describe('an interruption', () => {
  it('by Ctrl-C, which reaches the children too, and twice, is as clean', async () => {
    const test = CASES.find(({ what }) => what === 'check')!;
    const ended = await interrupt(test, ({ pid }) => {
      for (const target of [-pid!, pid!]) process.kill(target, 'SIGINT');
    });
    expect(ended.code).toBe(130);
    await expectNothingLeft(ended.place);
  });

  it('by a terminal that closes is as clean', async () => {
    const ended = await interrupt(CASES[0]!, ({ pid }) => process.kill(pid!, 'SIGHUP'));
    expect(ended.code).toBe(129);
    await expectNothingLeft(ended.place);
  });

  it('ends trtexec and what the build script started', async () => {
    const programs = temporaryFolder();
    const trtexec = join(programs, 'trtexec');
    // There is no TensorRT here; what is under test is that the builder does not outlive us.
    writeFileSync(
      trtexec,
      `#!/usr/bin/env bash
case $1 in --help|--version) echo '[TensorRT v101401]'; exit 0;; esac
touch "$TMPDIR/building"; sleep 600`,
    );
    chmodSync(trtexec, 0o755);
    const place = makePlace();
    const args = named('export', '--target', 'tensorrt', ...calibration)();
    const { child, ended, said } = start(args, place, programs);
    const building = join(place.temporary, 'building');
    while (!existsSync(building) && child.exitCode === null) await sleep(5);
    expect(child.exitCode, said()).toBe(null);
    process.kill(child.pid!, 'SIGTERM');
    expect(await ended).toBe(143);
    rmSync(building);
    await expectNothingLeft(place);
  });

  it('of an export over an older one leaves the older one as it was', async () => {
    const place = makePlace();
    const output = join(place.home, 'out');
    mkdirSync(output);
    writeFileSync(join(output, 'manifest.json'), 'old');
    const args = named('export', '--target', 'onnx', ...calibration, '--force')();
    const { child, ended } = start([...args.slice(0, -1), 'out'], place);
    while (!present(place).some((name) => /^home.*model_quantized/.test(name))) await sleep(5);
    process.kill(child.pid!, 'SIGINT');
    expect(await ended).toBe(130);
    expect(present(place)).toEqual(['home/out', 'home/out/manifest.json']);
    expect(readFileSync(join(output, 'manifest.json'), 'utf8')).toBe('old');
  });
});
