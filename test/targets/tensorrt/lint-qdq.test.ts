import { describe, expect, it } from 'vitest';
import type { Model, Node } from '../../../src/ir/model.ts';
import { inlineTensor, type Tensor } from '../../../src/ir/tensor.ts';
import { lintQdq } from '../../../src/targets/tensorrt/lint-qdq.ts';
import { floats, model, node, value } from '../../kit/models.ts';

const N = 4;

interface Change {
  readonly nodes?: (nodes: readonly Node[]) => readonly Node[];
  readonly tensors?: readonly Tensor[];
  readonly opset?: number;
}

/** A W8A8 layer as TensorRT wants it, with one thing changed. */
function layer({ nodes = (same) => same, tensors = [], opset = 19 }: Change = {}): Model {
  const good = [
    node('QuantizeLinear', ['x', 'xs', 'xz'], 'xq'),
    node('DequantizeLinear', ['xq', 'xs', 'xz'], 'xd'),
    node('DequantizeLinear', ['wq', 'ws', 'wz'], 'wd', { axis: 1n }),
    node('MatMul', ['xd', 'wd'], 'y'),
  ];
  return model({
    opset,
    nodes: nodes(good),
    initializers: [
      floats('xs', [], [0.5], 'float16'),
      inlineTensor('xz', 'int8', [], new Uint8Array(1)),
      inlineTensor('wq', 'int8', [N, N], new Uint8Array(N * N)),
      floats('ws', [N], [1, 1, 1, 1], 'float16'),
      inlineTensor('wz', 'int8', [N], new Uint8Array(N)),
      ...tensors,
    ],
    inputs: [value('x', 'float16', ['n', 's', N])],
    outputs: [value('y', 'float16', ['n', 's', N])],
  });
}

async function found(change: Change): Promise<string[]> {
  const findings = await lintQdq(layer(change));
  return findings.map(({ rule, severity, node: name }) => `${severity} ${rule} at ${name}`);
}

describe('lintQdq', () => {
  it('finds nothing in a layer as TensorRT wants it', async () => {
    expect(await found({})).toEqual([]);
  });

  it('wants symmetric, signed, constant zero points', async () => {
    const shifted = inlineTensor('wz', 'int8', [N], Uint8Array.of(0, 0, 1, 0));
    expect(await found({ tensors: [shifted] })).toEqual([
      'error symmetric at /wd/DequantizeLinear',
    ]);
    const unsigned = inlineTensor('xz', 'uint8', [], Uint8Array.of(0));
    expect(await found({ tensors: [unsigned] })).toEqual([
      'error symmetric at /xq/QuantizeLinear',
      'error symmetric at /xd/DequantizeLinear',
    ]);
    const computed = await found({
      nodes: ([quantize, ...rest]) => [
        node('Cast', ['x'], 'computed', { to: 3n }),
        { ...quantize!, inputs: ['x', 'xs', 'computed'] },
        ...rest,
      ],
    });
    expect(computed).toEqual(['error zero-point-constant at /xq/QuantizeLinear']);
  });

  it('wants positive, finite scales that are exact to 1 %', async () => {
    const scales = (values: number[]) => [floats('ws', [N], values, 'float16')];
    const at = 'at /wd/DequantizeLinear';
    expect(await found({ tensors: scales([1, 0, 1, 1]) })).toEqual([`error scale-positive ${at}`]);
    expect(await found({ tensors: scales([1, -1, 1, 1]) })).toEqual([`error scale-positive ${at}`]);
    expect(await found({ tensors: scales([1, Infinity, 1, 1]) })).toEqual([
      `error scale-positive ${at}`,
    ]);
    // Half a step of 2^-24 is 1 % of 50 such steps.
    expect(await found({ tensors: scales([1, 50 * 2 ** -24, 1, 1]) })).toEqual([
      `error scale-subnormal ${at}`,
    ]);
    expect(await found({ tensors: scales([1, 51 * 2 ** -24, 1, 1]) })).toEqual([]);
  });

  it('wants scales of the type of the values beside them', async () => {
    expect(await found({ tensors: [floats('xs', [], [0.5], 'float32')] })).toContain(
      'error scale-type at /xq/QuantizeLinear',
    );
  });

  it('wants opset 19 for FP16 scales', async () => {
    expect(await found({ opset: 18 })).toContain('error scale-opset at /xq/QuantizeLinear');
  });

  it('wants weights scaled along their output channels', async () => {
    const turned = await found({
      nodes: (nodes) =>
        nodes.map((step) =>
          step.outputs[0] === 'wd'
            ? node('DequantizeLinear', step.inputs, 'wd', { axis: 0n })
            : step,
        ),
    });
    expect(turned).toEqual(['error weight-axis at /y/MatMul']);
    const gemm = await found({
      nodes: (nodes) => [
        ...nodes.slice(0, 2),
        node('DequantizeLinear', ['wq', 'ws', 'wz'], 'wd', { axis: 0n }),
        node('Gemm', ['xd', 'wd'], 'y', { transB: 1n }),
      ],
    });
    expect(gemm).toEqual([]);
  });

  it('wants activations scaled per tensor', async () => {
    const perChannel = await found({
      tensors: [
        floats('xs', [N], [1, 1, 1, 1], 'float16'),
        inlineTensor('xz', 'int8', [N], new Uint8Array(N)),
      ],
    });
    expect(perChannel).toEqual(['error activation-per-tensor at /y/MatMul']);
  });

  it('wants nothing between DequantizeLinear and the product', async () => {
    const between = await found({
      nodes: (nodes) => [
        ...nodes.slice(0, 3),
        node('Transpose', ['wd'], 'wt', { perm: [1n, 0n] }),
        node('MatMul', ['xd', 'wt'], 'y'),
      ],
    });
    expect(between).toEqual(['error between at /y/MatMul']);
  });

  it('tells weight-only layers from forgotten weights', async () => {
    const weightOnly = await found({
      nodes: (nodes) => [nodes[2]!, node('MatMul', ['x', 'wd'], 'y')],
    });
    expect(weightOnly).toEqual(['info weight-only at /y/MatMul']);
    const forgotten = await found({
      nodes: (nodes) => [...nodes.slice(0, 2), node('MatMul', ['xd', 'float'], 'y')],
      tensors: [floats('float', [N, N], new Float32Array(N * N), 'float16')],
    });
    expect(forgotten).toEqual(['warning one-sided at /y/MatMul']);
  });

  it('points at FP16 powers, which overflow in decomposed norms', async () => {
    const squared = await found({
      nodes: (nodes) => [...nodes.slice(0, 3), node('Pow', ['x', 'xs'], 'p'), nodes[3]!],
    });
    expect(squared).toEqual(['warning float16-overflow at /p/Pow']);
  });
});
