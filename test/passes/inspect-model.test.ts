import { execFileSync } from 'node:child_process';
import { mkdtempSync, realpathSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { inspectModel } from '../../src/passes/inspect-model.ts';
import { openModel } from '../../src/storage/model-file.ts';
import { GLM_9B } from '../models/glm-decoder.ts';
import { writeSparseDecoder } from '../models/write-sparse-decoder.ts';

describe('inspectModel', () => {
  it('counts what is in the GLM decoder', async () => {
    const summary = inspectModel(await openModel('fixtures/glm-nano/genai/model.onnx'));
    // 6 x (128 x 256 qkv + 128 x 128 o + 3 x 128 x 384 ffn) + two tables of 256 x 128, biases,
    // 25 norms of 128 and the cos and sin caches: counted by hand for the linear layers.
    const linear = 6 * (128 * 256 + 128 * 128 + 3 * 128 * 384);
    expect(summary.quantizable).toMatchObject({ layerCount: 30, parameterCount: linear });
    expect(summary.quantizable.byteLength).toBe(2 * linear);
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
    expect(sizes[2]).toBeLessThan(sizes[0] ?? 0);
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

  it('opens and inspects a 9B decoder of 18.8 GB in little time and memory', async () => {
    const folder = realpathSync(mkdtempSync(join(tmpdir(), 'autoglm-9b-')));
    try {
      const { path, weightByteLength } = await writeSparseDecoder(folder, GLM_9B);
      expect(weightByteLength).toBeGreaterThan(18.7e9);
      expect(statSync(path).size).toBeLessThan(8e6);
      // A process of its own, from the compiled code, so that peak memory is this job's alone.
      const script = `
        const start = performance.now();
        const { openModel } = await import('./dist/storage/model-file.js');
        const { inspectModel } = await import('./dist/passes/inspect-model.js');
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
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
