import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { inlineTensor } from '../../../src/ir/tensor.ts';
import { inspectModel } from '../../../src/quantize/inspect/inspect-model.ts';
import { planAhead } from '../../../src/quantize/plan-ahead.ts';
import { BUILT_IN_RECIPE_TEXTS } from '../../../src/recipe/built-in-recipes.ts';
import { builtInRecipe } from '../../../src/recipe/load.ts';
import { renderInspection } from '../../../src/report/inspection.ts';
import { openModel } from '../../../src/storage/model-file.ts';
import { floats, node, noise, model as small, value } from '../../kit/models.ts';
import { temporaryFolder } from '../../kit/temporary-folder.ts';
import { GLM_9B } from '../../models/glm-decoder.ts';
import { writeSparseDecoder } from '../../models/write-sparse-decoder.ts';

describe('inspectModel', () => {
  it('counts what is in the GLM decoder', async () => {
    const summary = inspectModel(await openModel('fixtures/glm-nano/genai/model.onnx'));
    // 6 x (128 x 256 qkv + 128 x 128 o + 3 x 128 x 384 ffn) + two tables of 256 x 128, biases,
    // 25 norms of 128 and the cos and sin caches: counted by hand for the linear layers.
    const linear = 6 * (128 * 256 + 128 * 128 + 3 * 128 * 384);
    // The head, and the token table beside it.
    const tables = 2 * 256 * 128;
    expect(summary.quantizable).toMatchObject({
      layerCount: 31,
      tableCount: 1,
      parameterCount: linear + tables,
      byteLength: 2 * (linear + tables),
    });
    expect(summary.linears.map(({ role, count }) => [role, count])).toEqual([
      ['qkv', 6],
      ['attention-output', 6],
      ['gate', 6],
      ['up', 6],
      ['down', 6],
      ['head', 1],
    ]);
    // Keys and values of 2 heads of 32 channels in float16, in 6 layers.
    expect(summary.kvCacheByteLengthPerToken).toBe(2 * 2 * 32 * 2 * 6);
    expect(summary.producer).toMatch(/^onnxruntime-genai/);
    expect(summary.inputs.map(({ name }) => name).slice(0, 2)).toEqual([
      'input_ids',
      'attention_mask',
    ]);
    expect(summary.ops[0]?.count).toBeGreaterThanOrEqual(summary.ops[1]?.count ?? 0);
    const sizes = summary.forecasts.map(({ weightByteLength }) => weightByteLength);
    expect(sizes[0]).toBeLessThan(0.55 * summary.weightByteLength);
    expect(sizes.at(-1)).toBeLessThan(sizes[0] ?? 0);
  });

  it('says how many groups can be pruned and what each is worth', async () => {
    const { prunable } = inspectModel(await openModel('fixtures/glm-nano/optimum/model.onnx'));
    expect(prunable).toHaveLength(12);
    // A KV group: 2 query heads, a key and a value head of 32 rows of 128 and their biases, and 64 columns of o.
    expect(prunable[0]).toMatchObject({ kind: 'kv-group', groupCount: 2 });
    expect(prunable[0]?.parametersPerGroup).toBe(128 * (64 + 32 + 32) + 128 + 64 * 128);
    // An FFN channel: a gate and an up row, and a column of down.
    expect(prunable[1]).toMatchObject({
      kind: 'ffn-channel',
      groupCount: 384,
      parametersPerGroup: 3 * 128,
    });
  });

  it('forecasts to the byte what each built-in recipe then plans', async () => {
    for (const name of ['glm-nano/optimum', 'glm-nano/genai', 'vit-fashion/dynamo-opset18']) {
      const model = await openModel(`fixtures/${name}/model.onnx`);
      const { forecasts, weightByteLength } = inspectModel(model);
      expect(forecasts.map(({ recipe }) => recipe).sort()).toEqual(
        Object.keys(BUILT_IN_RECIPE_TEXTS).sort(),
      );
      for (const forecast of forecasts) {
        const { totals } = planAhead(model, builtInRecipe(forecast.recipe));
        expect(weightByteLength - forecast.weightByteLength).toBe(
          totals.bytesBefore - totals.bytesAfter,
        );
      }
    }
  });

  it('counts a weight that layers share once, and no convolution as quantizable', () => {
    const summary = inspectModel(
      small({
        nodes: [
          node('MatMul', ['x', 'w'], 'a'),
          node('Tanh', ['a'], 'b'),
          node('MatMul', ['b', 'w'], 'c'),
          node('Unsqueeze', ['c', 'axis'], 'd'),
          node('Conv', ['d', 'k'], 'e'),
          node('Relu', ['e'], 'y'),
        ],
        initializers: [
          floats('w', [32, 32], noise(1, 1024)),
          floats('k', [64, 32, 1], noise(2, 2048)),
          inlineTensor('axis', 'int64', [1], new Uint8Array(8)),
        ],
        inputs: [value('x', 'float32', ['n', 32])],
        outputs: [value('y', 'float32', [1, 64, 'n'])],
      }),
    );
    const [linears] = summary.linears;
    expect(linears).toMatchObject({ role: 'other', count: 3, byteLength: 4 * (1024 + 2048) });
    expect(summary.quantizable).toMatchObject({ layerCount: 2, tableCount: 0, byteLength: 4096 });
    expect(summary.quantizable.weightByteShare).toBeLessThan(1);
    expect(summary.notQuantized).toEqual([{ op: 'Conv', byteLength: 8192 }]);
  });

  it('says what no recipe quantizes and why: element types, and operators that are no layers', () => {
    const doubles = inlineTensor('w', 'float64', [32, 32], new Uint8Array(8 * 1024));
    const summary = inspectModel(
      small({
        nodes: [
          node('MatMul', ['x', 'w'], 'a'),
          node('Cast', ['a'], 'b', { to: 1n }),
          node('LSTM', ['b', 'gates', 'recurrent'], 'y'),
        ],
        initializers: [
          doubles,
          floats('gates', [1, 64, 32], noise(1, 2048)),
          floats('recurrent', [1, 64, 16], noise(2, 1024)),
        ],
        inputs: [value('x', 'float64', ['n', 's', 32])],
        outputs: [value('y', 'float32', ['n', 1, 's', 16])],
      }),
    );
    expect(summary.quantizable).toMatchObject({ layerCount: 0, weightByteShare: 0 });
    expect(summary.forecasts.map(({ ratio }) => ratio)).toEqual(summary.forecasts.map(() => 1));
    expect(summary.forecasts[0]?.refused).toContain('weight is float64');
    expect(summary.notQuantized).toEqual([
      { op: 'LSTM', byteLength: 4 * 3072 },
      { op: 'MatMul', byteLength: 8 * 1024 },
    ]);
    const text = renderInspection(
      {
        schema: 'autoglm.inspect/1',
        path: 'm.onnx',
        files: [],
        summary,
        weightGrids: { sampled: ['a', 'b', 'c'], onGrid: ['a', 'c'] },
      },
      { width: 400 },
    );
    expect(text).toMatch(/^Warning {6}2 of 3 sampled linear layers lie on at most 16 levels/m);
    expect(text).toMatch(/^Quantizable {2}0 layers, 0\.0 % of weight bytes$/m);
    expect(text).toMatch(/^Left float {3}by w8a8: LSTM 12\.3 kB, MatMul 8\.19 kB$/m);
    expect(text).toContain('weight is float64');
    expect(text).not.toContain('forecast ');
  });

  it('opens and inspects a 9B decoder of 18.8 GB in little time and memory', async () => {
    const folder = temporaryFolder();
    const { path, weightByteLength } = await writeSparseDecoder(folder, GLM_9B);
    expect(weightByteLength).toBeGreaterThan(18.7e9);
    expect(statSync(path).size).toBeLessThan(8e6);
    // A process of its own, from the compiled code, so that peak memory is this job's alone.
    const script = `
        const start = performance.now();
        const { openModel } = await import('./dist/storage/model-file.js');
        const { inspectModel } = await import('./dist/quantize/inspect/inspect-model.js');
        const summary = inspectModel(await openModel(process.argv[1]));
        const { blocks, parameterCount, weightByteLength, bitsPerWeight } = summary;
        console.log(JSON.stringify({
          attention: blocks.filter(({ kind }) => kind === 'attention').length,
          ffn: blocks.filter(({ kind }) => kind === 'ffn').length,
          heads: blocks[0].heads, kvHeads: blocks[0].kvHeads, headDim: blocks[0].headDim, width: blocks[1].width,
          parameterCount, weightByteLength, bitsPerWeight,
          seconds: (performance.now() - start) / 1000,
          peakBytes: process.resourceUsage().maxRSS * 1024,
        }));`;
    const output = execFileSync(process.execPath, ['--input-type=module', '-e', script, path], {
      encoding: 'utf8',
    });
    const result: Record<string, number> = JSON.parse(output);
    expect(result).toMatchObject({
      attention: 40,
      ffn: 40,
      heads: 32,
      kvHeads: 2,
      headDim: 128,
      width: 13696,
    });
    expect(result['parameterCount']).toBeGreaterThan(9.4e9);
    expect(result['parameterCount']).toBeLessThan(9.401e9);
    expect(result['bitsPerWeight']).toBeCloseTo(16, 3);
    expect(result['peakBytes']).toBeLessThan(200e6);
    if (process.env['AUTOGLM_FIGURES'] !== undefined) console.log(output);
  });
});
