import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { root } from '../kit/paths.ts';
import { spawnAutoglm } from '../kit/spawn-autoglm.ts';
import { sharedFolder } from '../kit/temporary-folder.ts';

const base = sharedFolder();
const MODEL = join(root, 'fixtures/glm-nano/genai');
const DATA = ['--data', join(root, 'calibration/text')];
const cwd = join(base, 'empty');
const program = join(cwd, 'node_modules/autoglm/bin/autoglm.js');

function npm(args: readonly string[], folder: string, env: NodeJS.ProcessEnv = {}): string {
  return execFileSync('npm', [...args, '--no-audit', '--no-fund', '--loglevel', 'error'], {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  });
}

let tarball = '';
beforeAll(() => {
  const [packed] = JSON.parse(npm(['pack', '--json', '--pack-destination', base], root)) as {
    filename: string;
  }[];
  tarball = join(base, packed?.filename ?? '');
  mkdirSync(cwd);
  writeFileSync(join(cwd, 'package.json'), '{ "private": true }');
  npm(['install', '--ignore-scripts', '--prefer-offline', tarball], cwd);
});

/** A module that keeps https from reaching nuget.org, as a machine without internet access does. */
function writeOffline(): string {
  const path = join(base, 'offline.cjs');
  writeFileSync(
    path,
    `const https = require('https');
     const { get } = https;
     https.get = (url, ...rest) => {
       if (String(url).includes('nuget.org')) throw new Error('getaddrinfo ENOTFOUND api.nuget.org');
       return get(url, ...rest);
     };`,
  );
  return path;
}

// Elsewhere the script has nothing to download.
const downloads = process.platform === 'linux' && process.arch === 'x64';
/** An installation where the install script of onnxruntime-node cannot download what it wants. */
describe.runIf(downloads)(
  'npm pack, installed without an option where the downloads of others fail',
  () => {
    const folder = join(base, 'plain');
    const installed = join(folder, 'node_modules/autoglm/bin/autoglm.js');
    const where = { cwd: folder, program: installed };
    beforeAll(() => {
      mkdirSync(folder);
      writeFileSync(join(folder, 'package.json'), '{ "private": true }');
      const env = { NODE_OPTIONS: `--require=${writeOffline()}`, ONNXRUNTIME_NODE_INSTALL: '' };
      npm(['install', '--prefer-offline', '--ignore-scripts=false', tarball], folder, env);
    });

    it('succeeds, without onnxruntime-node', () => {
      expect(readdirSync(join(folder, 'node_modules'))).toContain('autoglm');
      expect(readdirSync(join(folder, 'node_modules'))).not.toContain('onnxruntime-node');
    });

    it('says in doctor what is missing and what to type', async () => {
      const { code, stdout } = await spawnAutoglm(['doctor'], where);
      expect(code).toBe(0);
      expect(stdout).toContain(
        'onnxruntime  not usable: onnxruntime-node is not installed, because npm leaves it out when its install script cannot download CUDA libraries. Run "npm install --ignore-scripts autoglm"',
      );
    });

    it('inspects, and ends with exit code 6 and the same words where a model must run', async () => {
      expect((await spawnAutoglm(['inspect', MODEL], where)).code).toBe(0);
      const args = ['quantize', MODEL, ...DATA, '-o', 'out'];
      const { code, stderr } = await spawnAutoglm(args, where);
      expect(code).toBe(6);
      expect(stderr).toMatch(/^autoglm: onnxruntime: onnxruntime-node is not installed, [^\n]*\n$/);
      expect(readdirSync(folder)).not.toContain('out');
    });

    it('is whole after what doctor says to type', async () => {
      npm(['install', '--prefer-offline', '--ignore-scripts', tarball], folder);
      const { stdout } = await spawnAutoglm(['doctor'], where);
      expect(stdout).toMatch(/cpu +works/);
    });
  },
);

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
    const options = ['--samples', '2', '--sequence-length', '32', '-o', 'out'];
    const args = ['quantize', MODEL, ...DATA, ...options];
    const { code, stdout, stderr } = await spawnAutoglm(args, { cwd, program });
    expect(code, stderr).toBe(0);
    expect(stdout).toContain('Fused        31 of 31 quantized layers');
    expect(readdirSync(join(cwd, 'out'))).toContain('model.onnx');
  });

  it('is a library, with the errors that its functions throw', () => {
    const script = `
      import { FormatError } from 'autoglm';
      import { openModel } from 'autoglm/onnx';
      import { inspectModel } from 'autoglm/quantize';
      const model = await openModel(${JSON.stringify(join(root, 'fixtures/glm-nano/genai/model.onnx'))});
      console.log(inspectModel(model).blocks.length, new FormatError('x') instanceof Error);`;
    const args = ['--input-type=module', '-e', script];
    expect(execFileSync(process.execPath, args, { cwd, encoding: 'utf8' })).toBe('12 true\n');
  });

  it('compresses a model by the sentence of docs/examples', () => {
    copyFileSync(join(root, 'docs/examples/compress.mjs'), join(cwd, 'compress.mjs'));
    const model = join(root, 'fixtures/vit-fashion/optimum');
    const args = ['compress.mjs', model, join(root, 'calibration/fashion-images'), 'sentence'];
    const printed = JSON.parse(execFileSync(process.execPath, args, { cwd, encoding: 'utf8' }));
    expect(printed.files).toEqual(['onnx/model_quantized.onnx']);
    expect(printed.layers).toMatchObject({ w8a8: 18 });
  });

  it('loads no native library, and little else, before a function asks for it', () => {
    const script = `
      const before = process.memoryUsage().rss;
      const start = performance.now();
      await import('autoglm');
      const time = performance.now() - start;
      const grown = process.memoryUsage().rss - before;
      const { sharedObjects } = process.report.getReport();
      const natives = sharedObjects.filter((name) => /sharp|vips|onnxruntime/.test(name));
      console.log(JSON.stringify({ time, grown, rss: before + grown, natives }));`;
    const args = ['--input-type=module', '-e', script];
    const found = JSON.parse(execFileSync(process.execPath, args, { cwd, encoding: 'utf8' }));
    console.log(
      `import of the package: ${found.time.toFixed(0)} ms, ${Math.round(found.rss / 1e6)} MB`,
    );
    expect(found.natives).toEqual([]);
    // Some 4 MB on Node 20; zod alone would be 14.
    expect(found.grown).toBeLessThan(10e6);
  });

  it('has an entry for each kind of values, with types', () => {
    const { exports } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
    const entries = Object.keys(exports).filter((name) => name !== './package.json');
    expect(entries.length).toBeGreaterThan(5);
    for (const entry of entries) {
      const name = join('autoglm', entry).replaceAll('\\', '/');
      const script = `const found = await import('${name}'); console.log(Object.keys(found).length);`;
      const args = ['--input-type=module', '-e', script];
      expect(
        Number(execFileSync(process.execPath, args, { cwd, encoding: 'utf8' })),
      ).toBeGreaterThan(0);
      expect(existsSync(join(cwd, 'node_modules/autoglm', exports[entry].types))).toBe(true);
    }
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
