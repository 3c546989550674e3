import { describe, expect, it } from 'vitest';
import { UnsupportedError } from '../../src/errors.ts';
import type { AttributeLiteral } from '../../src/ir/attributes.ts';
import { type Model, type Node, opsetVersion, type ValueInfo } from '../../src/ir/model.ts';
import { inlineTensor, type Tensor } from '../../src/ir/tensor.ts';
import { validate } from '../../src/ir/validate.ts';
import { raiseOpset } from '../../src/passes/raise-opset.ts';
import { floats, model, node, noise, value } from '../kit/models.ts';
import { runOnce, type Values } from '../kit/run-once.ts';

const DIMS = [2, 3, 4, 5];
const X: Values = new Map([
  ['x', { dims: DIMS, values: [...noise(3, 120)].map((number) => number * 3) }],
]);

function integers(name: string, values: readonly number[]): Tensor {
  const bytes = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
  return inlineTensor(name, 'int64', [values.length], bytes);
}

/** `x` of rank 4 in, `y` out; nothing is declared of the shapes between. */
function written(
  opset: number,
  nodes: readonly Node[],
  initializers: readonly Tensor[] = [],
  output: ValueInfo = { name: 'y', type: { kind: 'tensor', dataType: 'float32' } },
): Model {
  const inputs = [value('x', 'float32', ['a', 'b', 'c', 'd'])];
  return model({ opset, nodes, initializers, inputs, outputs: [output] });
}

/** A Reshape to a shape that is computed, after which no rank is known. */
const FORGET: readonly Node[] = [
  node('Shape', ['x'], 'dims'),
  node('Cast', ['dims'], 'dims_float', { to: 1n }),
  node('Dropout', ['dims_float'], 'dims_same'),
  node('Cast', ['dims_same'], 'dims_again', { to: 7n }),
  node('Reshape', ['x', 'dims_again'], 'u'),
];

async function expectSame(before: Model): Promise<void> {
  const expected = await runOnce(before, X);
  for (const to of [13, 14, 18, 19, 21]) {
    const raised = raiseOpset(before, to);
    expect(opsetVersion(raised)).toBe(to);
    expect(validate(raised)).toEqual([]);
    expect(await runOnce(raised, X)).toEqual(expected);
  }
}

type Literals = Readonly<Record<string, AttributeLiteral>>;

describe.each([11, 12])('a model of opset %i', (opset) => {
  const axes: readonly Literals[] = [
    {},
    ...[0, 1, 2, 3, -1, -2, -4].map((a) => ({ axis: BigInt(a) })),
  ];

  it.each(['Softmax', 'LogSoftmax', 'Hardmax'])('%s takes the same axes as one', async (opType) => {
    for (const axis of axes) {
      await expectSame(written(opset, [node(opType, ['x'], 'y', axis)]));
      await expectSame(written(opset, [...FORGET, node(opType, ['u'], 'y', axis)]));
    }
  });

  it.each<[string, readonly Node[], readonly Tensor[]]>([
    [
      'Squeeze and Unsqueeze',
      [
        node('Unsqueeze', ['x'], 'u', { axes: [0n, -1n, 3n] }),
        node('Squeeze', ['u'], 'y', { axes: [-1n, 0n] }),
      ],
      [],
    ],
    [
      'Squeeze of all',
      [node('Unsqueeze', ['x'], 'u', { axes: [1n, 2n] }), node('Squeeze', ['u'], 'y')],
      [],
    ],
    ['ReduceSum', [node('ReduceSum', ['x'], 'y', { axes: [1n, -1n] })], []],
    [
      'ReduceSum without its axes',
      [node('ReduceSum', ['x'], 'y', { axes: [2n], keepdims: 0n })],
      [],
    ],
    ['ReduceSum of all', [node('ReduceSum', ['x'], 'y', { keepdims: 0n })], []],
    ['ReduceMean', [node('ReduceMean', ['x'], 'y', { axes: [3n] })], []],
    ['ReduceL2 of all', [node('ReduceL2', ['x'], 'y')], []],
    [
      'Split in sizes',
      [
        { ...node('Split', ['x'], 'l', { axis: -1n, split: [2n, 3n] }), outputs: ['l', 'r'] },
        node('ReduceMax', ['l'], 'm', { axes: [-1n] }),
        node('Add', ['r', 'm'], 'y'),
      ],
      [],
    ],
    [
      'Split in equal parts',
      [
        { ...node('Split', ['x'], 'l', { axis: 2n }), outputs: ['l', 'r'] },
        node('Sub', ['r', 'l'], 'y'),
      ],
      [],
    ],
    [
      'Dropout',
      opset === 11
        ? [{ ...node('Dropout', ['x'], 'y', { ratio: 0.25 }), outputs: ['y', 'unread'] }]
        : [node('Dropout', ['x'], 'y')],
      [],
    ],
    [
      'Resize by scales',
      [node('Resize', ['x', 'roi', 'scales'], 'y', { mode: 'linear' })],
      [floats('roi', [0], []), floats('scales', [4], [1, 1, 2, 1.5])],
    ],
    [
      'Resize by sizes',
      [
        node('Resize', ['x', 'roi', 'scales', 'sizes'], 'y', {
          mode: 'nearest',
          nearest_mode: 'floor',
        }),
      ],
      [floats('roi', [0], []), floats('scales', [0], []), integers('sizes', [2, 3, 7, 9])],
    ],
    [
      'Clip and Pad',
      [node('Clip', ['x', 'low', 'high'], 'u'), node('Pad', ['u', 'pads', 'low'], 'y')],
      [
        floats('low', [], [-1]),
        floats('high', [], [0.5]),
        integers('pads', [0, 0, 1, 0, 0, 0, 0, 2]),
      ],
    ],
    [
      'ArgMax and ArgMin',
      [
        node('Clip', ['x', '', 'high'], 'u'),
        node('ArgMax', ['u'], 'a', { axis: 3n }),
        node('ArgMin', ['u'], 'b', { axis: 3n }),
        node('Sub', ['a', 'b'], 'c'),
        node('Cast', ['c'], 'y', { to: 1n }),
      ],
      [floats('high', [], [0.1])],
    ],
    [
      'BatchNormalization',
      [node('BatchNormalization', ['x', 's', 'b', 'm', 'v'], 'y', { epsilon: 0.01 })],
      [
        floats('s', [3], [1, 2, 3]),
        floats('b', [3], [0, 1, -1]),
        floats('m', [3], [0.1, 0.2, 0]),
        floats('v', [3], [1, 0.5, 2]),
      ],
    ],
    [
      // Of whole numbers, whose sums are exact in any order.
      'pooling',
      [
        node('Round', ['x'], 'whole'),
        node('Abs', ['whole'], 'r'),
        node('MaxPool', ['r'], 'u', { kernel_shape: [2n, 2n], pads: [0n, 1n, 0n, 1n] }),
        node('AveragePool', ['u'], 'y', {
          kernel_shape: [2n, 2n],
          strides: [2n, 2n],
          ceil_mode: 1n,
        }),
      ],
      [],
    ],
    [
      'Pow, Mod, Min, Max and Equal',
      [
        node('Max', ['x', 'one'], 'a'),
        node('Min', ['a', 'two'], 'b'),
        node('Pow', ['b', 'two'], 'c'),
        node('Mod', ['c', 'two'], 'd', { fmod: 1n }),
        node('Greater', ['d', 'one'], 'e'),
        node('Cast', ['e'], 'y', { to: 1n }),
      ],
      [floats('one', [], [1]), floats('two', [], [2])],
    ],
    [
      'GatherND, ScatterND and DepthToSpace',
      [
        node('GatherND', ['x', 'at'], 'part'),
        node('ScatterND', ['x', 'other', 'part'], 'u'),
        node('SpaceToDepth', ['u'], 'v', { blocksize: 1n }),
        node('DepthToSpace', ['v'], 'y', { blocksize: 1n }),
      ],
      [
        matrixOf('at', [
          [0, 1],
          [1, 2],
        ]),
        matrixOf('other', [
          [1, 0],
          [0, 0],
        ]),
      ],
    ],
    [
      'a recurrence',
      [
        node('Reshape', ['x', 'rows'], 'u'),
        { ...node('GRU', ['u', 'w', 'r'], 'y', { hidden_size: 2n }), outputs: ['y'] },
      ],
      [
        integers('rows', [6, 4, 5]),
        floats('w', [1, 6, 5], noise(1, 30)),
        floats('r', [1, 6, 2], noise(2, 12)),
      ],
    ],
  ])('keeps the meaning of %s', async (_, nodes, initializers) => {
    await expectSame(written(opset, nodes, initializers));
  });

  it('keeps the meaning of the bodies of If and Loop, also of what they read from outside', async () => {
    const branch = {
      ...written(
        opset,
        [node('Softmax', ['x'], 's'), node('ReduceSum', ['s'], 'out', { axes: [1n] })],
        [],
        {
          name: 'out',
        },
      ).graph,
      inputs: [],
    };
    const body = {
      ...written(opset, [
        node('Softmax', ['state'], 't', { axis: 2n }),
        node('Identity', ['go'], 'go_on'),
      ]).graph,
      inputs: [
        value('i', 'int64', []),
        value('go', 'bool', []),
        value('state', 'float32', ['a', 'b', 'c', 'd']),
      ],
      outputs: [value('go_on', 'bool', []), value('t', 'float32', ['a', 'b', 'c', 'd'])],
    };
    const yes = inlineTensor('yes', 'bool', [], Uint8Array.of(1));
    const two = inlineTensor('two', 'int64', [], new Uint8Array(BigInt64Array.of(2n).buffer));
    await expectSame(
      written(
        opset,
        [
          node('Loop', ['two', 'yes', 'x'], 'l', { body }),
          node('If', ['yes'], 'c', { then_branch: branch, else_branch: branch }),
          node('Add', ['l', 'c'], 'y'),
        ],
        [yes, two],
      ),
    );
  });
});

function matrixOf(name: string, rows: readonly (readonly number[])[]): Tensor {
  return { ...integers(name, rows.flat()), dims: [rows.length, rows[0]!.length] };
}

describe('what has no equal in opset 13', () => {
  it('is a mask of Dropout that somebody reads', () => {
    const source = written(11, [
      { ...node('Dropout', ['x'], 'd'), outputs: ['d', 'mask'] },
      node('Cast', ['mask'], 'y', { to: 1n }),
    ]);
    expect(() => raiseOpset(source, 13)).toThrow(
      '/d/Dropout: Dropout whose mask is read means something else in opset 13. Export the model for inference.',
    );
  });

  it('is Resize as TensorFlow 1 did it', () => {
    const source = written(
      12,
      [
        node('Resize', ['x', 'roi', 'scales'], 'y', {
          coordinate_transformation_mode: 'tf_half_pixel_for_nn',
        }),
      ],
      [floats('roi', [0], []), floats('scales', [4], [1, 1, 2, 2])],
    );
    expect(() => raiseOpset(source, 17)).toThrow(UnsupportedError);
    expect(() => raiseOpset(source, 17)).toThrow(/Resize by tf_half_pixel_for_nn/);
  });

  it('is a model that is older than opset 11', () => {
    expect(() => raiseOpset(written(10, [node('Relu', ['x'], 'y')]), 13)).toThrow(
      'model: cannot be raised to opset 13 (got opset 10, expected 11 or newer).',
    );
  });
});
