import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Model } from '../../src/ir/model.ts';
import { inlineTensor } from '../../src/ir/tensor.ts';
import { renderQuantization } from '../../src/report/quantization.ts';
import { check } from '../../src/workflows/check.ts';
import { quantize } from '../../src/workflows/quantize.ts';
import { floats, model, node, noise, value } from '../kit/models.ts';
import { listeningReporter } from '../kit/reporters.ts';
import { sqnrOfY, writeSmall } from '../kit/small-files.ts';

const [IN, MIDDLE, OUT] = [64, 48, 32];
const ROWS = 6;

/**
 * Two layers on rank 2, which only onnxruntime knows: shape inference here has no Compress. MatMul + Add
 * becomes a float Gemm with bias there. The input features of the second are no multiple of 32.
 */
function hiddenRank(): Model {
  return model({
    nodes: [
      node('Compress', ['x', 'kept'], 'rows', { axis: 0n }),
      node('MatMul', ['rows', 'w1'], 'p1'),
      node('Add', ['p1', 'b1'], 's1'),
      node('Sin', ['s1'], 'h'),
      node('MatMul', ['h', 'w2'], 'p2'),
      node('Add', ['p2', 'b2'], 's2'),
      node('Sin', ['s2'], 'y'),
    ],
    initializers: [
      inlineTensor('kept', 'bool', [ROWS], new Uint8Array(ROWS).fill(1)),
      floats(
        'w1',
        [IN, MIDDLE],
        noise(1, IN * MIDDLE).map((x) => x / 8),
      ),
      floats('b1', [MIDDLE], noise(2, MIDDLE)),
      floats(
        'w2',
        [MIDDLE, OUT],
        noise(3, MIDDLE * OUT).map((x) => x / 8),
      ),
      floats('b2', [OUT], noise(4, OUT)),
    ],
    inputs: [value('x', 'float32', [ROWS, IN])],
    outputs: [value('y', 'float32', [ROWS, OUT])],
  });
}

describe('layers that do not fuse', () => {
  it('are written weight-only, or float, with the reason, a last warning and a gate', async () => {
    const source = hiddenRank();
    const data = { dims: [ROWS, IN], values: noise(5, ROWS * IN) };
    const files = await writeSmall(source, { ...data, dims: [1, ROWS, IN] });
    const output = join(files.folder, 'q');
    const reporter = listeningReporter();
    const recipe = join(files.folder, 'all.yaml');
    writeFileSync(recipe, '{ name: all, head: w8a8 }');
    const result = await quantize({ ...files, recipe, output }, reporter);
    expect(result.plan.layers.map(({ scheme, reason }) => [scheme, reason])).toEqual([
      ['w8a16', 'did not fuse (ran as Gemm)'],
      ['float', 'did not fuse (ran as Gemm)'],
    ]);
    expect(result.fusion).toMatchObject({ planned: 1, fused: 1, unfused: [] });
    expect(result.manifest?.excluded).toMatchObject([{ reason: 'did not fuse (ran as Gemm)' }]);
    expect(reporter.notes.join()).toMatch(/2 layers did not fuse in onnxruntime: written again/);
    const last = renderQuantization(result).split('\n').at(-1);
    expect(last).toMatch(
      /^Warning {6}2 of 2 layers did not fuse .*p1: did not fuse \(ran as Gemm\)/,
    );
    // INT8 weights alone, in blocks of 32, behind activations that the kernel rounds to INT8.
    expect(await sqnrOfY(output, source, data)).toBeGreaterThan(35);

    const checked = await check(
      { artifact: output, device: 'cpu', gates: ['minFused=50%'], latency: false },
      reporter,
    );
    expect(checked.passed).toBe(false);
    expect(checked.gates[0]).toMatchObject({ gate: 'minFused', value: 0, passed: false });
    expect(checked.warnings.join()).toMatch(/2 layers did not fuse as the recipe has them/);
  });
});
