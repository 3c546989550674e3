import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { UsageError } from '../../../src/errors.ts';
import type { ShapeRanges } from '../../../src/targets/shapes.ts';
import { buildScript } from '../../../src/targets/tensorrt/build-script.ts';
import { model, value } from '../../kit/models.ts';
import { temporaryFolder } from '../../kit/temporary-folder.ts';

const files = {
  quantized: 'model.int8.qdq.onnx',
  float: 'model.fp16.onnx',
  calibrationCache: 'calibration.cache',
};
const decoder = model({
  nodes: [],
  inputs: [value('ids', 'int64', ['n', 's']), value('size', 'int64', [1])],
  outputs: [],
});
const shapes: ShapeRanges = new Map([['ids', { min: [1, 1], opt: [1, 128], max: [4, 512] }]]);

let folder: string;
beforeEach(() => {
  folder = temporaryFolder();
});

/** Runs the script with a trtexec that prints `banner` and writes down its arguments. */
function build(banner: string, args: readonly string[] = [], text = script()) {
  const trtexec = join(folder, 'trtexec');
  // There is no GPU here; what is under test is the command line the script makes.
  writeFileSync(
    trtexec,
    `#!/usr/bin/env bash
if [[ $1 == --version ]]; then echo '${banner}'; exit 1; fi
for argument in "$@"; do
  printf '%s\\n' "$argument" >>called
  if [[ $argument == --calib=* ]]; then cat "\${argument#--calib=}" >cache-seen; fi
done
`,
  );
  chmodSync(trtexec, 0o755);
  writeFileSync(join(folder, 'build_engine.sh'), text);
  writeFileSync(join(folder, 'calibration.cache'), 'TRT-100300-EntropyCalibration2\nx: 3c010204\n');
  const run = spawnSync('bash', [join(folder, 'build_engine.sh'), ...args], {
    env: { ...process.env, TRTEXEC: trtexec },
    encoding: 'utf8',
  });
  const called = join(folder, 'called');
  const flags = existsSync(called) ? readFileSync(called, 'utf8').trim().split('\n') : [];
  return { status: run.status, stderr: run.stderr, stdout: run.stdout, flags };
}

function script(): string {
  return buildScript(decoder, shapes, files);
}

describe('build_engine.sh', () => {
  it('gives TensorRT 11 no precision flag', () => {
    const { status, flags, stdout } = build('&&&& RUNNING TensorRT.trtexec [TensorRT v110100]');
    expect(status).toBe(0);
    expect(flags).toEqual([
      '--onnx=model.int8.qdq.onnx',
      '--saveEngine=model.engine',
      '--timingCacheFile=model.timing.cache',
      '--profilingVerbosity=detailed',
      '--skipInference',
      '--minShapes=ids:1x1',
      '--optShapes=ids:1x128',
      '--maxShapes=ids:4x512',
    ]);
    expect(stdout).toContain('wrote model.engine');
  });

  it('makes TensorRT 10 take the types of the graph literally', () => {
    expect(build('TensorRT version: 10.14.1').flags).toContain('--stronglyTyped');
    expect(build('[TensorRT v101401] [b48]').flags).toContain('--stronglyTyped');
  });

  it('builds the float baseline and passes further arguments on', () => {
    const { flags } = build('[TensorRT v110100]', ['fp16', '--noTF32']);
    expect(flags).toContain('--onnx=model.fp16.onnx');
    expect(flags).toContain('--saveEngine=model.fp16.engine');
    expect(flags.at(-1)).toBe('--noTF32');
  });

  it('builds from the calibration cache under the version that is running', () => {
    const { status, flags } = build('[TensorRT v101401]', ['calibrated']);
    expect(status).toBe(0);
    expect(flags).toContain('--onnx=model.fp16.onnx');
    expect(flags).toContain('--int8');
    expect(flags).toContain('--optShapesCalib=ids:1x128');
    expect(flags).not.toContain('--stronglyTyped');
    // A cache with another header would be ignored and random data used instead.
    const seen = readFileSync(join(folder, 'cache-seen'), 'utf8');
    expect(seen).toBe('TRT-101401-EntropyCalibration2\nx: 3c010204\n');
  });

  it('uses the four-digit numbers of TensorRT 8', () => {
    expect(build('[TensorRT v8401]', ['calibrated']).status).toBe(0);
    expect(readFileSync(join(folder, 'cache-seen'), 'utf8')).toMatch(/^TRT-8401-/);
  });

  it('refuses combinations that a version cannot build, with the exit codes of autoglm', () => {
    expect(build('[TensorRT v110100]', ['calibrated'])).toMatchObject({ status: 5, flags: [] });
    expect(build('[TensorRT v8601]')).toMatchObject({ status: 5, flags: [] });
    expect(build('no banner')).toMatchObject({ status: 1, flags: [] });
  });

  it('says what to do when trtexec is missing', () => {
    writeFileSync(join(folder, 'build_engine.sh'), script());
    const run = spawnSync('bash', [join(folder, 'build_engine.sh')], {
      env: { ...process.env, TRTEXEC: '/nowhere/trtexec' },
      encoding: 'utf8',
    });
    expect(run.status).toBe(6);
    expect(run.stderr).toContain('Install TensorRT, or set TRTEXEC');
  });

  it('lets no input name reach the shell', () => {
    const name = `a'; touch hacked; echo '$(touch hacked)\`touch hacked\``;
    const hostile = model({ nodes: [], inputs: [value(name, 'int64', ['n'])], outputs: [] });
    const range = { min: [1], opt: [2], max: [3] };
    const { flags, status } = build(
      '[TensorRT v110100]',
      [],
      buildScript(hostile, new Map([[name, range]]), files),
    );
    expect(status).toBe(0);
    expect(existsSync(join(folder, 'hacked'))).toBe(false);
    expect(flags).toContain(`--minShapes=${name}:1`);
  });

  it('puts names that hold trtexec separators in quotes', () => {
    const odd = model({ nodes: [], inputs: [value('in:0', 'float32', ['n'])], outputs: [] });
    const range = { min: [1], opt: [2], max: [3] };
    const { flags } = build(
      '[TensorRT v110100]',
      [],
      buildScript(odd, new Map([['in:0', range]]), files),
    );
    expect(flags).toContain("--minShapes='in:0':1");
  });

  it('has no shape flags when every input is fixed', () => {
    const fixed = model({ nodes: [], inputs: [value('x', 'float32', [1, 8])], outputs: [] });
    const { status, flags } = build('[TensorRT v110100]', [], buildScript(fixed, new Map(), files));
    expect(status).toBe(0);
    expect(flags.some((flag) => flag.includes('Shapes'))).toBe(false);
  });

  it('asks for the shape of a dynamic input, with its declared dims', () => {
    expect(() => buildScript(decoder, new Map(), files)).toThrow(UsageError);
    expect(() => buildScript(decoder, new Map(), files)).toThrow(
      'input ids: TensorRT needs a smallest, usual and largest shape (got [n, s]). ' +
        'Say --shape ids:MIN..OPT..MAX, each as 1x128.',
    );
  });

  it('is the same text for the same input', () => {
    expect(script()).toBe(script());
  });
});
