import { describe, expect, it, vi } from 'vitest';
import { UnsupportedError } from '../../../src/errors.ts';
import { OP_TYPE } from '../../../src/formats/mnn/enums.ts';
import type { Table } from '../../../src/formats/mnn/schema.ts';
import { attributes } from '../../../src/ir/attributes.ts';
import type { Model, Node } from '../../../src/ir/model.ts';
import { inlineTensor } from '../../../src/ir/tensor.ts';
import { lowerToMnn } from '../../../src/targets/mnn/lower.ts';
import { prepareForMnn } from '../../../src/targets/mnn/prepare.ts';
import { floats, model, node, noise, value } from '../../kit/models.ts';
import { fixture, runModel, textFeeds } from '../../kit/run-model.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const inputs = [value('x', 'float32', ['b', 's', 8])];
const outputs = [value('y', 'float32', ['b', 's', 8])];

function lowered(source: Model): readonly Table<'Op'>[] {
  return lowerToMnn(source, { floats: 'float32' }).model.net.oplists ?? [];
}

function countOf(source: Model, type: keyof typeof OP_TYPE): number {
  return lowered(source).filter((op) => op.type === OP_TYPE[type]).length;
}

describe('lowering to MNN', () => {
  it('makes one norm of its single steps, with a bias of zeros, and one activation', () => {
    const nodes = [
      node('Pow', ['x', 'two'], 'square'),
      node('ReduceMean', ['square'], 'mean', { axes: [-1n] }),
      node('Add', ['mean', 'epsilon'], 'shifted'),
      node('Sqrt', ['shifted'], 'root'),
      node('Div', ['x', 'root'], 'scaled'),
      node('Mul', ['scaled', 'gamma'], 'normed'),
      node('Sigmoid', ['normed'], 'gate'),
      node('Mul', ['normed', 'gate'], 'y'),
    ];
    const initializers = [
      floats('two', [], [2]),
      floats('epsilon', [], [1e-6]),
      floats('gamma', [8], noise(1, 8)),
    ];
    const ops = lowered(model({ nodes, inputs, outputs, initializers, opset: 17 }));
    expect(ops.map(({ type }) => type)).toEqual([
      OP_TYPE.Input,
      OP_TYPE.LayerNorm,
      OP_TYPE.UnaryOp,
    ]);
    const [, norm] = ops;
    expect(norm?.main).toMatchObject({ kind: 'LayerNorm', value: { useRMSNorm: true } });
    const { gamma, beta } = norm!.main!.value as Table<'LayerNorm'>;
    expect(beta?.byteLength).toBe(gamma?.byteLength);
  });

  it('leaves a norm over another axis as it is written', () => {
    const nodes = [
      node('Pow', ['x', 'two'], 'square'),
      node('ReduceMean', ['square'], 'mean', { axes: [1n] }),
      node('Add', ['mean', 'epsilon'], 'shifted'),
      node('Sqrt', ['shifted'], 'root'),
      node('Div', ['x', 'root'], 'y'),
    ];
    const initializers = [floats('two', [], [2]), floats('epsilon', [], [1e-6])];
    const source = model({ nodes, inputs, outputs, initializers, opset: 17 });
    expect(countOf(source, 'LayerNorm')).toBe(0);
    expect(countOf(source, 'Reduction')).toBe(1);
  });

  it('converts an input once for all layers that read it, and stores a tied weight once', () => {
    const weight = floats('w', [8, 8], noise(1, 64));
    const keyed = { ...weight, source: { ...weight.source, key: 'w' } };
    const nodes = [
      node('MatMul', ['x', 'w'], 'a'),
      node('MatMul', ['x', 'w'], 'b'),
      node('Add', ['a', 'b'], 'y'),
    ];
    const source = model({ nodes, inputs, outputs, initializers: [keyed] });
    expect(countOf(source, 'Convolution')).toBe(2);
    expect(countOf(source, 'ConvertTensor')).toBe(3);
    const { weights } = lowerToMnn(source, { floats: 'float32' }).model;
    expect(weights.map(({ byteLength }) => byteLength)).toEqual([256, 32]);
  });

  it('keeps inputs that nothing reads, and leaves out what nobody reads', () => {
    const nodes = [node('Sin', ['x'], 'dead'), node('Cos', ['x'], 'y')];
    const unread = value('mask', 'int64', ['b', 's']);
    const ops = lowered(model({ nodes, inputs: [...inputs, unread], outputs }));
    expect(ops.map(({ name }) => name)).toEqual(['x', 'mask', 'y']);
  });

  it('spells the arithmetic on shapes of a decoder by constants, with equal outputs', async () => {
    const source = await fixture('glm-nano/torchscript');
    const prepared = prepareForMnn(source);
    const shapes = (which: Model): number =>
      which.graph.nodes.filter(({ opType }) => opType === 'Shape').length;
    expect(shapes(source)).toBeGreaterThan(100);
    expect(shapes(prepared)).toBeLessThan(40);
    const feeds = textFeeds(source, 'heldout.txt', 2, 16);
    const [a, b] = await Promise.all([runModel(source, feeds), runModel(prepared, feeds)]);
    const [expected, found] = [a.outputs.get('logits')!, b.outputs.get('logits')!];
    const worst = expected.reduce(
      (most, x, index) => Math.max(most, Math.abs(x - found[index]!)),
      0,
    );
    // The source computes in float16 between its Casts.
    expect(worst / Math.max(...expected)).toBeLessThan(5e-3);
  });
});

describe('what MNN has no right form for', () => {
  const big = inlineTensor('big', 'int64', [1], new Uint8Array(BigInt64Array.of(2n ** 40n).buffer));
  const cases: readonly {
    title: string;
    nodes: readonly Node[];
    says: RegExp;
    given?: Partial<Parameters<typeof model>[0]>;
  }[] = [
    {
      title: 'an op without a row',
      nodes: [node('Mish', ['x'], 'y')],
      says: /^node \/y\/Mish: MNN has no form for this Mish \(no row.*\)\. Use --target onnx/,
    },
    {
      title: 'an op of another domain by its whole name',
      nodes: [{ ...node('FusedConv', ['x'], 'y'), domain: 'com.microsoft' }],
      says: /this com\.microsoft\.FusedConv/,
    },
    {
      title: 'control flow',
      nodes: [
        {
          ...node('If', ['c'], 'y'),
          attributes: attributes({
            then_branch: model({
              nodes: [node('Sin', ['x'], 'p')],
              inputs: [],
              outputs: [value('p', 'float32', [])],
            }).graph,
            else_branch: model({
              nodes: [node('Cos', ['x'], 'q')],
              inputs: [],
              outputs: [value('q', 'float32', [])],
            }).graph,
          }),
        },
      ],
      given: { inputs: [...inputs, value('c', 'bool', [])] },
      says: /this If \(control flow\)/,
    },
    {
      title: 'rounding to even',
      nodes: [node('Round', ['x'], 'y')],
      says: /halves are rounded another way/,
    },
    {
      title: 'an integer beyond 32 bits',
      nodes: [
        node('Shape', ['x'], 's'),
        node('Add', ['s', 'big'], 't'),
        node('Cast', ['t'], 'y', { to: 1n }),
      ],
      given: { initializers: [big] },
      says: /constant big: MNN has 32-bit integers alone \(got 1099511627776/,
    },
    {
      title: 'an input of integers that MNN does not compute with',
      nodes: [node('Identity', ['x'], 'y')],
      given: { inputs: [value('x', 'uint8', ['n'])] },
      says: /input x: MNN computes in float32 and int32 alone \(got uint8\)/,
    },
    {
      title: 'a Conv over three axes',
      nodes: [node('Conv', ['x', 'w'], 'y')],
      given: {
        inputs: [value('x', 'float32', ['n', 2, 4, 4, 4])],
        initializers: [floats('w', [2, 2, 1, 1, 1], noise(1, 4))],
      },
      says: /this Conv \(3 spatial axes\)/,
    },
    {
      title: 'an output that is an input',
      nodes: [node('Sin', ['x'], 'z')],
      given: { outputs: [value('x', 'float32', ['b', 's', 8])] },
      says: /output x: it is an input of the model\. Leave it out/,
    },
    {
      title: 'attention over a window',
      nodes: [
        {
          ...node('GroupQueryAttention', ['x', 'x', 'x', '', '', 'l', 't'], 'y', {
            num_heads: 2n,
            kv_num_heads: 2n,
            local_window_size: 4n,
          }),
          domain: 'com.microsoft',
        },
      ],
      given: { inputs: [...inputs, value('l', 'int32', ['b']), value('t', 'int32', [])] },
      says: /a window or a smooth softmax/,
    },
  ];

  it.each(cases)('refuses $title', ({ nodes, says, given = {} }) => {
    const source = model({ nodes, inputs, outputs, ...given });
    const lower = (): unknown => lowerToMnn(source, { floats: 'float32' });
    expect(lower).toThrow(UnsupportedError);
    expect(lower).toThrow(says);
  });
});
