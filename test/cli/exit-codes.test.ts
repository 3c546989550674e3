import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { root } from '../kit/paths.ts';
import { type Outcome, spawnAutoglm } from '../kit/spawn-autoglm.ts';
import { sharedFolder } from '../kit/temporary-folder.ts';

const MODEL = 'fixtures/glm-nano/genai';
const folder = sharedFolder();
const artifact = join(folder, 'w8a16');

/** Asserts that a command failed with one sentence on stderr and nothing on stdout; returns it. */
function complaint({ code, stdout, stderr }: Outcome, expected: number): string {
  expect({ code, stdout }).toEqual({ code: expected, stdout: '' });
  const lines = stderr.trimEnd().split('\n');
  const last = lines.at(-1) ?? '';
  expect(last).toMatch(/^autoglm: .*[.?]$/);
  expect(stderr).not.toMatch(/^\s+at /m);
  return last;
}

beforeAll(async () => {
  const made = await spawnAutoglm(['quantize', MODEL, '--recipe', 'w8a16', '-o', artifact]);
  expect(made.code).toBe(0);
});

describe('exit code 0', () => {
  it('is given by a command that did its work, and by help and version', async () => {
    const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
      version: string;
    };
    expect(await spawnAutoglm(['--version'])).toEqual({
      code: 0,
      stdout: `${version}\n`,
      stderr: '',
    });
    expect((await spawnAutoglm(['help', 'check'])).code).toBe(0);
    expect((await spawnAutoglm(['recipe', 'show', 'w8a8'])).stdout).toBe(
      readFileSync(join(root, 'configs', 'recipes', 'w8a8.yaml'), 'utf8'),
    );
  });
});

describe('exit code 2: usage', () => {
  it.each([
    [['quantze'], "unknown command 'quantze'. Did you mean quantize?"],
    [['quantize', '--recpe', 'x'], "unknown option '--recpe'. Did you mean --recipe?"],
    [['inspect', 'a', 'b'], "too many arguments for 'inspect'. Expected 1 argument but got 2."],
    [
      ['check', '--device', 'gpu'],
      "option '--device <device>' argument 'gpu' is invalid. Allowed choices are auto, cpu, webgpu, cuda, tensorrt, cpu-low-memory.",
    ],
    [
      ['calibrate', '--samples', '0'],
      "option '--samples <count>' argument '0' is invalid. Expected a whole number of at least 1.",
    ],
    [
      ['calibrate', '--shard', '4/4'],
      "option '--shard <i/n>' argument '4/4' is invalid. Expected i/n with 0 <= i < n, such as 0/4.",
    ],
    [['calibrate', 'merge', 'a.json'], "required option '-o, --output <folder>' not specified."],
    [
      ['run', '--from', 'exprot'],
      "option '--from <stage>' argument 'exprot' is invalid. Allowed choices are prune, calibrate, quantize, export, check.",
    ],
  ])('%j', async (args, sentence) => {
    expect(complaint(await spawnAutoglm(args), 2)).toBe(
      `autoglm: ${sentence} See "autoglm --help".`,
    );
  });

  it.each([
    [
      ['inspect', 'a', '--prunable', '--sensitivity'],
      '--prunable: lists groups and measures nothing (got --sensitivity as well). Ask for one of them.',
    ],
    [
      ['inspect', 'no-such-model.onnx'],
      'no-such-model.onnx: there is no such file or folder. Check the path.',
    ],
    [
      ['inspect', 'calibration'],
      'calibration: there is no model in this folder (expected model.onnx or onnx/model.onnx). Give an .onnx file.',
    ],
    [
      ['quantize', MODEL, '-o', join(folder, 'x')],
      'recipe w8a8: no data. Give --data <folder>, a text, an .npz or images.',
    ],
    [['quantize', MODEL, '--recipe', 'w8a16'], 'quantize: no output folder. Give -o <folder>.'],
    [
      ['quantize', MODEL, '--recipe', 'w8a16', '-o', MODEL, '--force'],
      `${MODEL}: is the folder of the source model, which would be replaced. Give another folder with -o.`,
    ],
    [
      ['quantize', MODEL, '--recipe', 'w8a16', '-o', artifact],
      `${artifact}/model.onnx: already exists. Use --force to replace it.`,
    ],
    [
      ['calibrate', '--shard', '0/2'],
      `--shard: the calibrate stage of ${root}configs/autoglm.yaml makes the calibration. Name a model to use this option.`,
    ],
    [
      ['check', artifact, '--data', 'calibration/text', '--gate', 'minSpeed=2'],
      '--gate minSpeed=2: is no gate (got "minSpeed", expected <name>=<limit> with one of maxTop1Drop, maxPerplexityRatio, maxKl, maxWorstDomainKl, maxKlP999, minAgreement, minCosine, minSqnr, minRowCosine, minRowSqnr, minSpeedup, minFused, maxSizeRatio, maxPeakMemoryRatio, maxUnsafePairs).',
    ],
    [['init', 'package.json'], 'package.json: already exists. Use --force to replace it.'],
    [['recipe', 'show', 'w8a9'], 'recipe: no such recipe (got "w8a9", expected'],
    [['report', 'calibration'], 'calibration: holds no check.json. Run "autoglm check" first.'],
  ])('%j', async (args, sentence) => {
    const said = complaint(await spawnAutoglm(args), 2);
    expect(said.slice('autoglm: '.length, 'autoglm: '.length + sentence.length)).toBe(sentence);
  });

  it('names the places where a config is looked for when there is no model either', async () => {
    expect(complaint(await spawnAutoglm(['quantize'], { cwd: folder }), 2)).toBe(
      `autoglm: ${folder}: no model given and no config found (looked for autoglm.yaml, configs/autoglm.yaml). Name a model, give --config, or run "autoglm init".`,
    );
  });

  it('prints the verbs on stderr when none is given', async () => {
    const { code, stdout, stderr } = await spawnAutoglm([]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain('Usage: autoglm');
  });
});

describe('exit code 3: a gate failed', () => {
  const check = [
    'check',
    artifact,
    '--data',
    'calibration/text',
    '--samples',
    '1',
    '--sequence-length',
    '32',
    '--no-latency',
    '--gate',
  ];

  it('comes after the result, and the artifact stays', async () => {
    const { code, stdout, stderr } = await spawnAutoglm([...check, 'maxSizeRatio=0.1']);
    expect(code).toBe(3);
    expect(stdout).toContain('FAIL  maxSizeRatio');
    expect(stderr.trimEnd().split('\n').at(-1)).toMatch(/^autoglm: check: 1 of 1 gates failed: /);
    expect(readdirSync(artifact)).toContain('model.onnx');
  });

  it('prints one JSON document with --json', async () => {
    const { code, stdout } = await spawnAutoglm([...check, 'maxSizeRatio=0.1', '--json']);
    expect(code).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({ schema: 'autoglm.check/1', passed: false });
  });

  it('is not given when the gate passes', async () => {
    expect((await spawnAutoglm([...check, 'maxSizeRatio=0.9'])).code).toBe(0);
  });
});

describe('exit code 4: the input is refused', () => {
  const truncated = join(folder, 'truncated.onnx');
  beforeAll(() => {
    const whole = readFileSync(join(root, 'fixtures/onnx/linears.onnx'));
    writeFileSync(truncated, whole.subarray(0, whole.length - 10));
  });

  it.each([
    ['inspect', []],
    ['quantize', ['--recipe', 'w8a16', '-o', join(folder, 'deep', 'new')]],
    ['calibrate', ['--data', 'calibration/text', '-o', join(folder, 'deep', 'new')]],
    [
      'export',
      ['--target', 'onnx', '--data', 'calibration/text', '-o', join(folder, 'deep', 'new')],
    ],
  ])('%s of a truncated model', async (verb, options) => {
    const said = complaint(await spawnAutoglm([verb, truncated, ...options]), 4);
    expect(said).toMatch(
      /truncated\.onnx: this is not a whole ONNX file .* Export or download it again\.$/,
    );
    expect(readdirSync(folder)).not.toContain('deep');
  });

  it('of a calibration, a manifest and a check that are not as autoglm writes them', async () => {
    const file = join(folder, 'calibration.json');
    writeFileSync(file, '{"schema": 7');
    const quantize = ['quantize', MODEL, '--calibration', file, '-o', join(folder, 'deep')];
    expect(complaint(await spawnAutoglm(quantize), 4)).toContain('calibration.json: ');
    writeFileSync(join(folder, 'manifest.json'), '{}');
    expect(complaint(await spawnAutoglm(['check', folder]), 4)).toContain('manifest.json: ');
    writeFileSync(join(folder, 'check.json'), '{}');
    expect(complaint(await spawnAutoglm(['report', folder]), 4)).toContain('check.json: ');
    expect(readdirSync(folder)).not.toContain('deep');
  });
});

describe('exit code 5: unsupported', () => {
  it('a model without a linear layer has nothing to calibrate or quantize', async () => {
    const model = 'fixtures/onnx/datatypes.onnx';
    const output = join(folder, 'deep', 'new');
    const data = ['--data', 'calibration/text'];
    expect(complaint(await spawnAutoglm(['calibrate', model, ...data, '-o', output]), 5)).toBe(
      `autoglm: ${model}: no linear layer was found, so there is nothing to calibrate (got no product with ` +
        'a constant). See "autoglm inspect".',
    );
    const quantize = ['quantize', model, '--recipe', 'w8a16', '-o', output];
    complaint(await spawnAutoglm(quantize), 5);
    expect(readdirSync(folder)).not.toContain('deep');
  });
});

describe('exit code 6: a device is missing', () => {
  it('says why, and what to do', async () => {
    const doctor = JSON.parse((await spawnAutoglm(['doctor', '--json'])).stdout) as {
      machine: { onnxruntime: { devices: { device: string; reason?: string }[] } };
    };
    const missing = doctor.machine.onnxruntime.devices.find(({ reason }) => reason !== undefined);
    // A machine on which every device works cannot show this.
    if (missing === undefined) return;
    const check = ['check', artifact, '--data', 'calibration/text', '--device', missing.device];
    const said = complaint(await spawnAutoglm(check), 6);
    expect(said).toContain(`device ${missing.device}: not usable on this machine (`);
  });
});
