/** Transformer blocks of a few channels, in the spellings of exporters. */
import type { Model, Node } from '../../../src/ir/model.ts';
import { inlineTensor, type Tensor } from '../../../src/ir/tensor.ts';
import { floats, model, node, noise, value } from '../../kit/models.ts';

export const WIDTH = 4;
export const HIDDEN = 6;

/** Parts of a graph from `x` to `y`, both [1, 3, 4]. */
export interface Parts {
  readonly nodes: readonly Node[];
  readonly initializers: readonly Tensor[];
}

function weight(name: string, rows: number, columns: number): Tensor {
  return floats(name, [rows, columns], noise(name.length + rows * 7 + columns, rows * columns));
}

export function vector(name: string, length: number): Tensor {
  return floats(name, [length], noise(length + name.length, length));
}

export function blockModel(parts: Parts, outputs: readonly string[] = []): Model {
  return model({
    ...parts,
    inputs: [value('x', 'float32', [1, 3, WIDTH])],
    outputs: ['y', ...outputs].map((name) => ({ name, type: floatTensor })),
    opset: 21,
  });
}

/** Of outputs whose shape does not matter. */
const floatTensor = { kind: 'tensor', dataType: 'float32' } as const;

/** A layer norm of `x` and one product `y` of it, with nothing else. */
export function normedProduct(extra: readonly Node[] = []): Parts {
  return {
    nodes: [
      node('LayerNormalization', ['x', 'gamma', 'beta'], 'normed'),
      ...extra,
      node('MatMul', ['normed', 'w'], 'y'),
    ],
    initializers: [vector('gamma', WIDTH), vector('beta', WIDTH), weight('w', WIDTH, HIDDEN)],
  };
}

/** `x + down(silu(gate(x)) * up(x))`; `between` may put nodes from `up` to `upped`. */
export function gatedFfn(between?: readonly Node[]): Parts {
  const upped = between === undefined ? 'up' : 'upped';
  return {
    nodes: [
      node('MatMul', ['x', 'gate_w'], 'gate'),
      node('MatMul', ['x', 'up_w'], 'up_product'),
      node('Add', ['up_product', 'up_b'], 'up'),
      ...(between ?? []),
      node('Sigmoid', ['gate'], 'sigmoid'),
      node('Mul', ['gate', 'sigmoid'], 'silu'),
      node('Mul', ['silu', upped], 'hidden'),
      node('MatMul', ['hidden', 'down_w'], 'down'),
      node('Add', ['x', 'down'], 'y'),
    ],
    initializers: [
      weight('gate_w', WIDTH, HIDDEN),
      weight('up_w', WIDTH, HIDDEN),
      vector('up_b', HIDDEN),
      weight('down_w', HIDDEN, WIDTH),
    ],
  };
}

/** The same with gate and up as halves of one product, cut by a Split. */
export function packedFfn(): Parts {
  const split = node('Split', ['both', 'sizes'], 'gate', { axis: -1n });
  return {
    nodes: [
      node('MatMul', ['x', 'both_w'], 'both_product'),
      node('Add', ['both_product', 'both_b'], 'both'),
      { ...split, outputs: ['gate', 'up'] },
      node('Sigmoid', ['gate'], 'sigmoid'),
      node('Mul', ['gate', 'sigmoid'], 'silu'),
      node('Mul', ['up', 'silu'], 'hidden'),
      node('MatMul', ['hidden', 'down_w'], 'down'),
      node('Add', ['x', 'down'], 'y'),
    ],
    initializers: [
      weight('both_w', WIDTH, 2 * HIDDEN),
      vector('both_b', 2 * HIDDEN),
      weight('down_w', HIDDEN, WIDTH),
      ints('sizes', [HIDDEN, HIDDEN]),
    ],
  };
}

/** `x + down(f(in(x)))` for a function of one operator. */
export function plainFfn(opType: string): Parts {
  return {
    nodes: [
      node('MatMul', ['x', 'in_w'], 'in_product'),
      node('Add', ['in_product', 'in_b'], 'in'),
      node(opType, ['in'], 'hidden'),
      node('MatMul', ['hidden', 'down_w'], 'down'),
      node('Add', ['x', 'down'], 'y'),
    ],
    initializers: [
      weight('in_w', WIDTH, HIDDEN),
      vector('in_b', HIDDEN),
      weight('down_w', HIDDEN, WIDTH),
    ],
  };
}

/** Four query heads of two channels over two KV heads, values repeated by Unsqueeze, Expand, Reshape. */
export function groupedAttention(repeat: 'interleaved' | 'tiled' = 'interleaved'): Parts {
  const axis = repeat === 'interleaved' ? 2 : 1;
  const heads = (name: string, count: number): readonly Node[] => [
    node('MatMul', ['x', `${name}_w`], name),
    node('Reshape', [name, `split${count}`], `${name}_split`),
    node('Transpose', [`${name}_split`], `${name}_heads`, { perm: [0n, 2n, 1n, 3n] }),
  ];
  const repeated = (name: string): readonly Node[] => [
    node('Unsqueeze', [`${name}_heads`, `axis${axis}`], `${name}_one`),
    node('Expand', [`${name}_one`, 'grouped'], `${name}_grouped`),
    node('Reshape', [`${name}_grouped`, 'flat'], `${name}_all`),
  ];
  return {
    nodes: [
      ...heads('q', 4),
      ...heads('k', 2),
      ...heads('v', 2),
      ...repeated('k'),
      ...repeated('v'),
      node('Transpose', ['k_all'], 'k_turned', { perm: [0n, 1n, 3n, 2n] }),
      node('MatMul', ['q_heads', 'k_turned'], 'scores'),
      node('Softmax', ['scores'], 'shares', { axis: -1n }),
      node('MatMul', ['shares', 'v_all'], 'mixed'),
      node('Transpose', ['mixed'], 'turned', { perm: [0n, 2n, 1n, 3n] }),
      node('Reshape', ['turned', 'joined'], 'attended'),
      node('MatMul', ['attended', 'o_w'], 'o'),
      node('Add', ['x', 'o'], 'y'),
    ],
    initializers: [
      weight('q_w', WIDTH, 8),
      weight('k_w', WIDTH, 4),
      weight('v_w', WIDTH, 4),
      weight('o_w', 8, WIDTH),
      ints('split4', [1, 3, 4, 2]),
      ints('split2', [1, 3, 2, 2]),
      ints('grouped', [1, 2, 2, 3, 2]),
      ints('flat', [1, 4, 3, 2]),
      ints('joined', [1, 3, 8]),
      ints('axis1', [1]),
      ints('axis2', [2]),
    ],
  };
}

export function ints(name: string, values: readonly number[]): Tensor {
  const bytes = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
  return inlineTensor(name, 'int64', [values.length], bytes);
}
