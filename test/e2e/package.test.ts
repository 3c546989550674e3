import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT, spawnAutoglm } from '../cli/spawn-autoglm.ts';

const base = mkdtempSync(join(tmpdir(), 'autoglm-package-'));
const cwd = join(base, 'empty');
const program = join(cwd, 'node_modules/autoglm/bin/autoglm.js');
afterAll(() => rmSync(base, { recursive: true, force: true }));

function npm(args: readonly string[], folder: string): string {
  return execFileSync('npm', [...args, '--no-audit', '--no-fund', '--loglevel', 'error'], {
    cwd: folder,
    encoding: 'utf8',
  });
}

beforeAll(() => {
  const [packed] = JSON.parse(npm(['pack', '--json', '--pack-destination', base], ROOT)) as {
    filename: string;
  }[];
  mkdirSync(cwd);
  writeFileSync(join(cwd, 'package.json'), '{ "private": true }');
  npm(['install', '--ignore-scripts', '--prefer-offline', join(base, packed?.filename ?? '')], cwd);
});

describe('npm pack, installed with --ignore-scripts into an empty folder', () => {
  it('has a working command', async () => {
    expect(readdirSync(join(cwd, 'node_modules/.bin'))).toContain('autoglm');
    const { code, stdout } = await spawnAutoglm(['doctor', '--json'], { cwd, program });
    expect(code).toBe(0);
    const { machine } = JSON.parse(stdout) as {
      machine: { onnxruntime: { devices: { device: string; reason?: string }[] } };
    };
    expect(machine.onnxruntime.devices.find(({ device }) => device === 'cpu')?.reason).toBe(
      undefined,
    );
  });

  it('calibrates and quantizes a model', async () => {
    const model = join(ROOT, 'fixtures/glm-nano/genai');
    const data = ['--data', join(ROOT, 'calibration/text'), '--samples', '2'];
    const args = ['quantize', model, ...data, '--sequence-length', '32', '-o', 'out'];
    const { code, stdout, stderr } = await spawnAutoglm(args, { cwd, program });
    expect(code, stderr).toBe(0);
    expect(stdout).toContain('Fused        31 of 31 quantized layers');
    expect(readdirSync(join(cwd, 'out'))).toContain('model.onnx');
  });

  it('is a library, with the errors that its functions throw', () => {
    const script = `
      import { FormatError, inspectModel, openModel } from 'autoglm';
      const model = await openModel(${JSON.stringify(join(ROOT, 'fixtures/glm-nano/genai/model.onnx'))});
      console.log(inspectModel(model).blocks.length, new FormatError('x') instanceof Error);`;
    const args = ['--input-type=module', '-e', script];
    expect(execFileSync(process.execPath, args, { cwd, encoding: 'utf8' })).toBe('12 true\n');
  });

  it('holds compiled code, configs and nothing of the tests', () => {
    const files = readdirSync(join(cwd, 'node_modules/autoglm'));
    expect(files.sort()).toEqual(
      expect.arrayContaining(['LICENSE', 'bin', 'configs', 'dist', 'package.json']),
    );
    for (const absent of ['src', 'test', 'fixtures', 'calibration']) {
      expect(files).not.toContain(absent);
    }
  });
});
