import { spawn, spawnSync } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { openTerminal } from '../../src/cli/terminal.ts';
import { root } from '../kit/paths.ts';
import { spawnAutoglm } from '../kit/spawn-autoglm.ts';
import { sharedFolder } from '../kit/temporary-folder.ts';

const MODEL = join(root, 'fixtures/glm-nano/genai');
const DATA = [
  '--data',
  join(root, 'calibration/text'),
  '--samples',
  '2',
  '--sequence-length',
  '32',
];
const folder = sharedFolder();

writeFileSync(
  join(folder, 'autoglm.yaml'),
  `model: ${MODEL}\ndata: ${join(root, 'calibration/text')}\n`,
);

/** Each builds on those before it. */
const VERBS: readonly (readonly [schema: string, ...args: string[]])[] = [
  ['autoglm.inspect/1', 'inspect', MODEL],
  ['autoglm.prunable/1', 'inspect', MODEL, '--prunable'],
  ['autoglm.calibrate/1', 'calibrate', MODEL, ...DATA, '-o', 'calibration'],
  ['autoglm.calibrate/1', 'calibrate', MODEL, ...DATA, '--dry-run'],
  ['autoglm.calibrate/1', 'calibrate', 'merge', 'calibration/calibration.json', '-o', 'merged'],
  ['autoglm.quantize/1', 'quantize', MODEL, '--calibration', 'calibration', '-o', 'w8a8'],
  ['autoglm.quantize/1', 'quantize', MODEL, '--recipe', 'w8a16', '--dry-run'],
  ['autoglm.export-plan/1', 'export', MODEL, '--target', 'tensorrt', '--dry-run'],
  ['autoglm.check/1', 'check', 'w8a8', ...DATA, '--no-latency', '-o', 'checked'],
  ['autoglm.check/1', 'report', 'checked'],
  ['autoglm.run/1', 'run', '--dry-run'],
  ['autoglm.doctor/1', 'doctor'],
  ['autoglm.recipes/1', 'recipe', 'list'],
  ['autoglm.recipe/1', 'recipe', 'show', 'w8a8'],
  ['autoglm.init/1', 'init', 'other.yaml'],
];

describe('--json', () => {
  it.each(VERBS)('%s: %s %s', async (schema, ...args) => {
    const { code, stdout, stderr } = await spawnAutoglm([...args, '--json', '--quiet'], {
      cwd: folder,
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ schema });
  });

  it('gives errors as one document with the sentence that stderr has', async () => {
    const { code, stdout, stderr } = await spawnAutoglm(['inspect', 'none.onnx', '--json']);
    expect(code).toBe(2);
    expect(JSON.parse(stdout)).toEqual({
      schema: 'autoglm.error/1',
      error: {
        name: 'UsageError',
        message: 'none.onnx: there is no such file or folder. Check the path.',
        exitCode: 2,
      },
    });
    expect(stderr).toBe('autoglm: none.onnx: there is no such file or folder. Check the path.\n');
    const unknown = await spawnAutoglm(['inspect', '--jsn', '--json']);
    expect(JSON.parse(unknown.stdout)).toMatchObject({ error: { exitCode: 2 } });
  });
});

describe('what a person sees', () => {
  it('progress is plain lines on stderr where nobody watches, the result alone on stdout', async () => {
    const args = ['calibrate', MODEL, ...DATA, '-o', join(folder, 'lines')];
    const { stdout, stderr } = await spawnAutoglm(args);
    const [first, last] = [stderr.split('\n')[0], stderr.trimEnd().split('\n').at(-1)];
    expect(first).toMatch(/^calibrate: 1\/2 samples( {2}\S+)*.* MB$/);
    expect(last).toMatch(/^calibrate: 2\/2 samples( {2}\S+)*.* MB$/);
    expect(`${stdout}${stderr}`).not.toContain('\u001b');
    expect(stdout).toMatch(/^tensor +min +max/);
    expect(stdout.trimEnd().split('\n').at(-1)).toBe(
      `25 tensors, 2 samples, auto: ${join(folder, 'lines', 'calibration.json')}`,
    );
  });

  it('a reader that stops reading is no failure', async () => {
    const child = spawn(process.execPath, [join(root, 'bin/autoglm.js'), 'doctor'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    child.stdout.destroy();
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    const code = await new Promise((resolve) => child.on('close', resolve));
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  // A device of Linux on which every write fails as on a full disk.
  it.runIf(existsSync('/dev/full'))('a full disk under the result is said in one sentence', () => {
    const full = openSync('/dev/full', 'w');
    const { status, stderr } = spawnSync(
      process.execPath,
      [join(root, 'bin/autoglm.js'), 'recipe', 'list'],
      { stdio: ['ignore', full, 'pipe'], encoding: 'utf8' },
    );
    closeSync(full);
    expect(status).toBe(2);
    expect(stderr).toMatch(/^autoglm: output: cannot be written \(ENOSPC[^\n]*\n$/);
  });

  it('--quiet leaves the result and warnings', async () => {
    const args = ['check', join(folder, 'w8a8'), ...DATA, '--no-latency', '--quiet'];
    const { code, stdout, stderr } = await spawnAutoglm(args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('Size of all files');
  });

  it('a written model is listed with its folder, manifest.json too', async () => {
    const output = join(folder, 'listed');
    const { stdout } = await spawnAutoglm(['quantize', MODEL, '--recipe', 'w8a16', '-o', output]);
    const [heading, ...files] = stdout.slice(stdout.indexOf('Files in')).trimEnd().split('\n');
    expect(heading).toBe(`Files in ${output}`);
    const names = files.map((line) => line.trim().split(/ {2,}/)[0]);
    const manifest = JSON.parse(readFileSync(join(output, 'manifest.json'), 'utf8')) as {
      files: { file: string }[];
    };
    expect(names).toEqual([...manifest.files.map(({ file }) => file), 'manifest.json']);
  });

  it('lines of a check fit 80 columns, with the head of each reason', async () => {
    const { stdout } = await spawnAutoglm(['report', join(folder, 'checked')]);
    expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([]);
    expect(stdout).not.toContain('npm rebuild');
  });
});

describe('openTerminal', () => {
  const isTTY = process.stdout.isTTY;
  afterEach(() => {
    vi.unstubAllEnvs();
    process.stdout.isTTY = isTTY;
  });

  it.each([
    [true, undefined, true],
    [true, '', true],
    [true, '1', false],
    [false, undefined, false],
  ])('terminal %s, NO_COLOR %s: colour %s', (terminal, variable, expected) => {
    process.stdout.isTTY = terminal;
    vi.stubEnv('NO_COLOR', variable);
    expect(openTerminal({ json: false, quiet: true }).color).toBe(expected);
  });
});
