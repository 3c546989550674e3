/**
 * A target, a runner and a stage that are in no list of the product: registering each is one line, and no other
 * file knows of them. The toy's artifact is its Q/DQ model under another name, which onnxruntime runs.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { RUNNERS } from '../../src/runners/index.ts';
import { onnxruntimeRunner } from '../../src/runners/onnxruntime/onnxruntime-runner.ts';
import type { Runner } from '../../src/runners/runner.ts';
import { TARGETS } from '../../src/targets/index.ts';
import { applyQuantization } from '../../src/targets/onnx/apply.ts';
import type { Target } from '../../src/targets/target.ts';
import { STAGES } from '../../src/workflows/pipeline/index.ts';
import type { StageKind } from '../../src/workflows/pipeline/stage-kind.ts';
import { root } from '../kit/paths.ts';
import { runMain } from '../kit/run-main.ts';
import { sharedFolder } from '../kit/temporary-folder.ts';

const TOY: Target = {
  id: 'toy',
  summary: 'a toy',
  options: z.strictObject({
    greeting: z.string().default('hello').describe('What its readme says.'),
  }),
  load: async () => ({
    isShaped: false,
    expected: ['model.toy'],
    whyFloat: ({ scheme }) => (scheme === 'float' ? 'float in the plan' : undefined),
    lower: ({ model, plan, kernel, moments, options }) => ({
      kind: 'toy',
      entry: 'model.toy',
      read: ['model.toy'],
      files: [
        { name: 'model.toy', model: applyQuantization(model, plan, { kernel, moments }) },
        { name: 'notes/readme.txt', content: `${options['greeting']}\n` },
        {
          name: 'stream.bin',
          read: async function* () {
            yield Uint8Array.of(1, 2);
            yield Uint8Array.of(3);
          },
        },
      ],
    }),
  }),
};

const TOY_RUNNER: Runner = {
  id: 'toyrun',
  reads: ['toy'],
  devices: ['toybox', 'cpu'],
  independent: true,
  version: async () => 'toyrun 1.0',
  unavailable: async (device) => (device === 'toybox' ? 'no toybox here' : undefined),
  load: (path, options) => onnxruntimeRunner.load(path, options),
};

const TOY_STAGE: StageKind = {
  name: 'toy-stage',
  load: async () => () => [
    {
      name: 'toy-stage',
      folder: 'toy-stage',
      needs: ['quantize'],
      inputs: async () => 1,
      run: async (folder) => writeFileSync(join(folder, 'seen.txt'), 'seen'),
    },
  ],
};

const folder = sharedFolder();
const model = join(root, 'fixtures/vit-fashion/optimum');
const data = join(root, 'calibration/fashion-images');

beforeAll(() => {
  (TARGETS as Target[]).push(TOY);
  (RUNNERS as Runner[]).push(TOY_RUNNER);
  (STAGES as StageKind[]).push(TOY_STAGE);
});
afterAll(() => {
  for (const list of [TARGETS, RUNNERS, STAGES]) (list as unknown[]).pop();
});

describe('parts that are registered, and named nowhere else', () => {
  const output = join(folder, 'named');

  it('a target exports, has a flag of its own, and is checked by the runner that reads its kind', async () => {
    const { code, json } = await runMain(
      ...['export', model, '--target', 'toy', '--greeting', 'good day'],
      ...['--data', data, '--samples', '16', '-o', output],
    );
    expect(code, JSON.stringify(json)).toBe(0);
    expect(json).toMatchObject({
      target: 'toy',
      manifest: {
        target: 'toy',
        artifact: 'model.toy',
        verified: [{ runner: 'toyrun', device: 'cpu', seen: 'accuracy and latency (check.json)' }],
      },
      check: { runtime: { runner: 'toyrun 1.0' }, accuracy: { samples: 16 }, fusion: null },
    });
    expect(readFileSync(join(output, 'notes/readme.txt'), 'utf8')).toBe('good day\n');
    expect([...readFileSync(join(output, 'stream.bin'))]).toEqual([1, 2, 3]);
    const check = json['check'] as {
      accuracy: { classification: { agreement: number } };
      latency: unknown[];
    };
    expect(check.accuracy.classification.agreement).toBeGreaterThan(0.9);
    expect(check.latency).toHaveLength(1);
  });

  it('a setting of one target is refused by another, a value that it does not take by itself', async () => {
    const refused = await runMain(
      'export',
      model,
      '--target',
      'onnx',
      '--greeting',
      'x',
      '--dry-run',
    );
    expect(refused.code).toBe(2);
    expect(JSON.stringify(refused.json)).toContain('target onnx: Unrecognized key');
  });

  it('a config takes its section, and the stage runs after what it needs', async () => {
    const config = join(folder, 'toy.yaml');
    const lines = [
      `model: ${model}`,
      `data: ${data}`,
      `output: ${join(folder, 'run')}`,
      'calibrate: { samples: 16 }',
      // Its weights are rounded anew for the toy, which needs the moments that quantizing had.
      'quantize: { recipe: w4a16-g32 }',
      'check: { samples: 16, latency: false }',
      'export: { toy: { greeting: moin } }',
    ];
    writeFileSync(config, lines.join('\n'));
    const { code, json } = await runMain('run', config);
    expect(code, JSON.stringify(json)).toBe(0);
    const stages = json['stages'] as readonly { name: string }[];
    const names = ['calibrate', 'quantize', 'export', 'check', 'toy-stage'];
    expect(stages.map(({ name }) => name)).toEqual(names);
    expect(readFileSync(join(folder, 'run/toy/notes/readme.txt'), 'utf8')).toBe('moin\n');
    expect(existsSync(join(folder, 'run/toy-stage/seen.txt'))).toBe(true);
  });

  it('without a runner the artifact is written, said not to be run, and never called verified', async () => {
    (RUNNERS as Runner[]).pop();
    const args = ['export', model, '--target', 'toy', '--data', data, '--samples', '8'];
    const { code, json } = await runMain(...args, '-o', join(folder, 'alone'));
    (RUNNERS as Runner[]).push(TOY_RUNNER);
    expect(code, JSON.stringify(json)).toBe(0);
    expect(json).toMatchObject({
      check: null,
      manifest: {
        verified: [],
        notVerified: ['toy: no runtime that autoglm drives reads it: written, not run'],
      },
    });
  });
});
