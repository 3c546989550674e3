import { Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import type { Model } from '../../../src/ir/model.ts';
import { chooseScale } from '../../../src/numerics/affine.ts';
import { throughPlanes } from '../../../src/numerics/planes.ts';
import { planQuantization } from '../../../src/quantize/plan.ts';
import { parseRecipe } from '../../../src/recipe/load.ts';
import { applyQuantization } from '../../../src/targets/onnx/apply.ts';
import { auditFusion } from '../../../src/targets/onnx/audit-fusion.ts';
import { SAFE_PAIR, scanSaturation } from '../../../src/targets/onnx/scan-saturation.ts';
import { IN, type LinearSpec, linearModel, noise, OUT, ranges } from '../../kit/models.ts';
import { runModel } from '../../kit/run-model.ts';
import { untied } from '../../kit/untied.ts';

// A layer that makes a graph output is a head; here it is the layer under test.
const recipe = parseRecipe('{ name: planes, head: w8a8x2 }', 'test');
const weightOnly = parseRecipe('{ name: by-channel, activations: { bits: float } }', 'test');

/** One huge value, as the first token has in a down projection; 64 * 6 values around 1 beside it. */
const SPIKE = 2371;
const rows = 6;
const x = noise(7, rows * IN);
x[5] = SPIKE;

const spellings: readonly (LinearSpec & { readonly form: string })[] = [
  { op: 'MatMul', rank: 3, form: 'MatMulIntegerToFloat' },
  { op: 'MatMul', rank: 3, bias: true, form: 'MatMulIntegerToFloat' },
  { op: 'MatMul', rank: 3, transposed: true, form: 'MatMulIntegerToFloat' },
  { op: 'MatMul', rank: 2, bias: true, form: 'QGemm' },
  { op: 'Gemm', rank: 2, form: 'QGemm' },
  { op: 'Gemm', rank: 2, transposed: true, bias: true, form: 'QGemm' },
];

function label({ op, rank, transposed, bias }: LinearSpec): string {
  return `${op} of rank ${rank}${transposed ? ', weight transposed' : ''}${bias ? ', with bias' : ''}`;
}

function feed({ rank }: LinearSpec, values: Float32Array) {
  return { x: new OrtTensor('float32', values, rank === 2 ? [rows, IN] : [2, rows / 2, IN]) };
}

function worst(a: Float32Array, b: Float32Array): number {
  return a.reduce((most, value, index) => Math.max(most, Math.abs(value - b[index]!)), 0);
}

function count({ graph }: Model, op: string): number {
  return graph.nodes.filter(({ opType }) => opType === op).length;
}

describe.each(spellings)('a layer in two planes', (spec) => {
  it(`fuses both products of ${label(spec)} and computes what the planes hold`, async () => {
    const source = linearModel(spec);
    const plan = planQuantization(source, recipe, ranges({ x: [-1, SPIKE] }));
    expect(plan.layers.map(({ scheme, form }) => `${scheme} ${form}`)).toEqual([
      `w8a8x2 ${spec.form}`,
    ]);
    const artifact = applyQuantization(source, plan);
    const { outputs, optimized } = await runModel(artifact, [feed(spec, x)]);
    const audit = auditFusion(optimized, plan);
    expect(audit).toMatchObject({ planned: 1, fused: 1, kernels: { [spec.form]: 2 } });

    // The same INT8 weights behind what the planes hold of x, in float; pair-safe scales differ from full ones.
    const held = throughPlanes(
      x,
      chooseScale({ min: -1, max: SPIKE }, { dataType: 'uint8', symmetric: false }),
    );
    const float = await runModel(source, [feed(spec, held)]);
    // 64 weights of at most 1, each off by half a step of at most 1/64, times values of about 1 and one of 2371.
    const weightError = (SPIKE + IN) / 128;
    expect(worst(outputs.get('y')!, float.outputs.get('y')!)).toBeLessThan(weightError);
    // The residual alone is what one plane loses: rows without the spike would be zeros, 9.3 a step.
    const quiet = [...outputs.get('y')!.subarray(outputs.get('y')!.length / rows)];
    const exact = [...float.outputs.get('y')!.subarray(outputs.get('y')!.length / rows)];
    expect(worst(Float32Array.from(quiet), Float32Array.from(exact))).toBeLessThan(0.15);
  });

  it(`has no pair that saturates, and exact arithmetic gives ${label(spec)} bit for bit`, async () => {
    const source = linearModel(spec);
    const plan = planQuantization(source, recipe, ranges({ x: [-1, SPIKE] }));
    const artifact = applyQuantization(source, plan);
    const { products, notScanned } = await scanSaturation(artifact);
    expect(notScanned).toEqual([]);
    expect(products).toHaveLength(2);
    for (const { worstPair } of products) expect(worstPair).toBeLessThanOrEqual(SAFE_PAIR);
    const here = await runModel(artifact, [feed(spec, x)]);
    const exact = await runModel(untied(artifact), [feed(spec, x)], { x64quantprecision: '1' });
    expect(exact.outputs.get('y')).toEqual(here.outputs.get('y'));
  });
});

describe('the graph of two planes', () => {
  it('stores the weight once and makes the planes of a value once for all its readers', () => {
    const source = linearModel({ op: 'MatMul', rank: 3 });
    const plan = planQuantization(source, recipe, ranges({ x: [-1, 1] }));
    const artifact = applyQuantization(source, plan);
    const int8 = [...artifact.graph.initializers.values()].filter(
      ({ dataType, dims }) => dataType === 'int8' && dims.length === 2,
    );
    expect(int8).toHaveLength(1);
    expect(count(artifact, 'QuantizeLinear')).toBe(2);
    expect(count(artifact, 'Sub')).toBe(1);
    expect(count(artifact, 'MatMul')).toBe(2);
    expect(plan.totals.layers.w8a8x2).toBe(1);
    const alone = planQuantization(source, weightOnly, new Map());
    // Scales of its own for each product, in float32.
    expect(plan.totals.bytesAfter).toBe(alone.totals.bytesAfter + 4 * OUT);
  });
});
