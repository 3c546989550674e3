import { type ChildProcess, spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeAll, describe, expect, it } from 'vitest';
import { root } from '../kit/paths.ts';
import { type Outcome, spawnAutoglm } from '../kit/spawn-autoglm.ts';
import { sharedFolder } from '../kit/temporary-folder.ts';
import { folderBytes } from './folder-bytes.ts';

const STAGES = [
  { name: 'calibrate', folder: 'calibrate' },
  { name: 'quantize', folder: 'quantize' },
  { name: 'export', folder: 'tensorrt' },
  { name: 'check', folder: 'check' },
] as const;

/** Written by a check: peak memory is measured, so no two are equal. */
const MEASURED = ['check.json', 'junit.xml', 'summary.md', 'report.html'];

const base = sharedFolder();

/** Makes a folder with a config, all at one depth: manifests hold relative paths. */
function place(name: string, recipe = 'w8a8'): string {
  const folder = join(base, name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, 'autoglm.yaml'),
    `model: ${join(root, 'fixtures/glm-nano/genai')}
data: ${join(root, 'calibration/text')}
calibrate: { samples: 4, sequenceLength: 32 }
quantize: { recipe: ${recipe} }
export: { target: tensorrt }
check: { device: cpu, samples: 2, latency: false }
`,
  );
  return folder;
}

function run(folder: string, ...options: string[]): Promise<Outcome> {
  return spawnAutoglm(['run', ...options], { cwd: folder });
}

/** What every run must leave alike: all files but the measured ones and the hashes of these. */
function comparable(folder: string): Readonly<Record<string, unknown>> {
  const output = join(folder, 'out');
  const files: Record<string, unknown> = {};
  for (const [path, hash] of Object.entries(folderBytes(output))) {
    const name = path.split('/').at(-1) ?? '';
    if (path === 'run.json' || MEASURED.includes(name)) continue;
    const isHashList = /^(tensorrt|check)\/(manifest|\.stage)\.json$/.test(path);
    files[path] = isHashList ? withoutMeasured(join(output, path)) : hash;
  }
  return files;
}

function withoutMeasured(path: string): unknown {
  const { files, ...rest } = JSON.parse(readFileSync(path, 'utf8')) as {
    files: Record<string, string> | { file: string }[];
  };
  const kept = Array.isArray(files)
    ? files.filter(({ file }) => !MEASURED.includes(file))
    : Object.entries(files).filter(([name]) => ![...MEASURED, 'manifest.json'].includes(name));
  return { ...rest, files: kept };
}

function withoutMemory(path: string): unknown {
  return JSON.parse(readFileSync(path, 'utf8'), (key, value: unknown) =>
    key.startsWith('peakMemory') ? null : value,
  );
}

/** Starts a run and kills it, and it alone, as soon as a stage has begun to write. */
async function killIn(folder: string, stage: (typeof STAGES)[number]): Promise<string> {
  const partial = join(folder, 'out', `.${stage.folder}.autoglm-partial`);
  const child: ChildProcess = spawn(process.execPath, [join(root, 'bin/autoglm.js'), 'run'], {
    cwd: folder,
    env: { ...process.env, CI: 'true', AUTOGLM_TEST: folder },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const ended = new Promise<void>((resolve) => {
    child.on('close', () => resolve());
  });
  while (!existsSync(partial) && child.exitCode === null) await sleep(2);
  await sleep(30);
  child.kill('SIGKILL');
  await ended;
  expect(child.signalCode, stderr).toBe('SIGKILL');
  return stderr;
}

/** Counts processes that a killed run left behind: they inherit its environment. */
function orphansOf(folder: string): number {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    try {
      return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`AUTOGLM_TEST=${folder}`);
    } catch {
      return false;
    }
  }).length;
}

const whole = place('whole');
let expected: Readonly<Record<string, unknown>>;

beforeAll(async () => {
  const { code, stderr } = await run(whole);
  expect(code, stderr).toBe(0);
  expected = comparable(whole);
});

describe('run --resume', () => {
  it.each(STAGES)('ends with the same bytes when killed in $name', async (stage) => {
    const folder = place(`killed-in-${stage.name}`);
    await killIn(folder, stage);
    const output = join(folder, 'out');
    const before = STAGES.slice(0, STAGES.indexOf(stage)).map((earlier) => earlier.folder);
    const finished = readdirSync(output).filter((name) => !name.startsWith('.'));
    expect(finished.sort()).toEqual([...before].sort());

    const { code, stderr } = await run(folder, '--resume');
    expect(code, stderr).toBe(0);
    for (const earlier of before) expect(stderr).toContain(`up to date in ${output}/${earlier}`);
    expect(stderr).toContain(`${stage.name}: into ${output}/${stage.folder}`);
    expect(comparable(folder)).toEqual(expected);
    for (const checked of ['tensorrt/check.json', 'check/check.json']) {
      expect(withoutMemory(join(output, checked))).toEqual(
        withoutMemory(join(whole, 'out', checked)),
      );
    }
    expect(readdirSync(output).filter((name) => name.includes('partial'))).toEqual([]);
    if (process.platform === 'linux') expect(orphansOf(folder)).toBe(0);
  });

  it('does nothing when all is done, and prints the same check', async () => {
    const first = folderBytes(join(whole, 'out'));
    const { code, stdout, stderr } = await run(whole, '--resume', '--json');
    expect(code).toBe(0);
    expect(stderr.match(/: up to date in /g)).toHaveLength(STAGES.length);
    const { 'run.json': _, ...stages } = folderBytes(join(whole, 'out'));
    expect(first).toMatchObject(stages);
    const { check } = JSON.parse(stdout) as { check: unknown };
    expect(check).toEqual(JSON.parse(readFileSync(join(whole, 'out/check/check.json'), 'utf8')));
  });

  it('redoes what a changed config reaches, and nothing before it', async () => {
    place('whole', 'w8a8-full');
    const { stdout } = await run(whole, '--resume', '--dry-run', '--json');
    const { stages } = JSON.parse(stdout) as { stages: { name: string; state: string }[] };
    expect(stages.map(({ name, state }) => `${name}: ${state}`)).toEqual([
      'calibrate: up to date',
      'quantize: would run',
      'export: would run',
      'check: would run',
    ]);
    place('whole');
  });
});

describe('stage folders', () => {
  it('of an earlier run are neither used nor replaced unless a person says which', async () => {
    const { code, stderr } = await run(whole);
    expect(code).toBe(2);
    expect(stderr.trimEnd().split('\n').at(-1)).toBe(
      `autoglm: ${whole}/out: holds an earlier run (calibrate, check, quantize, run.json, tensorrt). Use --resume to go on, or --force to start again.`,
    );
  });

  const stage = join(whole, 'out', 'quantize');
  it.each([
    ['added', (kept: string) => writeFileSync(join(kept, 'notes.txt'), 'mine')],
    ['changed', (kept: string) => writeFileSync(join(kept, 'config.json'), '{}')],
    ['removed', (kept: string) => rmSync(join(kept, 'quantization.json'))],
  ])('with a file %s by somebody else are refused', async (_, touch) => {
    const clean = join(base, 'clean');
    cpSync(stage, clean, { recursive: true });
    touch(stage);
    const touched = folderBytes(stage);
    const refused = await run(whole, '--resume');
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain(
      `autoglm: ${stage}: holds files that are not as autoglm left them. Move them away, or use --force to replace them.\n`,
    );
    expect(folderBytes(stage)).toEqual(touched);
    rmSync(stage, { recursive: true });
    renameSync(clean, stage);
  });

  it('that were touched are replaced with --force', async () => {
    writeFileSync(join(stage, 'config.json'), '{}');
    const forced = await spawnAutoglm(['quantize', '--force'], { cwd: whole });
    expect(forced.code, forced.stderr).toBe(0);
    expect(comparable(whole)).toEqual(expected);
  });
});
