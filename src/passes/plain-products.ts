import { dropUnused } from '../ir/drop-unused.ts';
import { editGraph, nameMaker, withGraph } from '../ir/edit.ts';
import type { Model, Node } from '../ir/model.ts';
import { elementCount, inlineTensor, type Tensor } from '../ir/tensor.ts';
import {
  findLaidConstant,
  type LaidConstant,
  type LaidMatrix,
  matrixOf,
} from './constant-layout.ts';
import { describeEinsum, einsumOperands } from './einsum-operands.ts';
import { type GraphView, isOp, viewGraph } from './graph-view.ts';
import type { Pass } from './pass.ts';

/**
 * Spells products with a constant as MatMul or Gemm of a matrix that lies in the file: weights behind Reshape,
 * Squeeze and Transpose get the shape in which they are read, over the same bytes, and an Einsum that
 * is a product becomes `Reshape? -> MatMul -> Reshape?`: `Einsum<"bsh,hnd->bsnd">(x, w)` ->
 * `Reshape(MatMul(x, w_matrix), [0, 0, n, d])`. Looks at the main graph.
 */
export const plainProducts: Pass = {
  name: 'plain-products',
  description: 'spells Einsum and reshaped weights as products with a matrix',
  run(model) {
    const { graph } = model;
    if (!graph.nodes.some((node) => isOp(node, 'Einsum', 'MatMul', 'Gemm'))) return model;
    const rewriting = begin(model);
    for (const node of graph.nodes) {
      const nodes = isOp(node, 'Einsum')
        ? plainEinsum(rewriting, node)
        : plainMatrix(rewriting, node);
      if (nodes !== undefined) rewriting.replace.set(node, nodes);
    }
    const { replace, added, left } = rewriting;
    if (replace.size === 0) return model;
    const edited = editGraph(graph, { replace, addInitializers: added });
    return withGraph(model, dropUnused(edited, left));
  },
};

interface Rewriting {
  readonly view: GraphView;
  readonly makeName: (wanted: string) => string;
  readonly replace: Map<Node, readonly Node[]>;
  readonly added: Tensor[];
  /** Constants, and values made of them, that may have lost their last reader. */
  readonly left: Set<string>;
  readonly known: Map<string, LaidMatrix>;
}

function begin(model: Model): Rewriting {
  return {
    view: viewGraph(model),
    makeName: nameMaker(model.graph),
    replace: new Map(),
    added: [],
    left: new Set(),
    known: new Map(),
  };
}

/** A MatMul or Gemm whose weight is reshaped before it is read, or has leading axes of one. */
function plainMatrix(rewriting: Rewriting, node: Node): readonly Node[] | undefined {
  if (!isOp(node, 'MatMul', 'Gemm')) return undefined;
  const { view } = rewriting;
  const [activation = '', weight = '', ...others] = node.inputs;
  const constant = findLaidConstant(view, weight);
  if (constant === undefined || isPlain(constant)) return undefined;
  const rank = view.facts(activation).shape?.length ?? 0;
  // Leading axes of one change nothing where the activation has as many axes.
  const ones = rank >= constant.dims.length ? constant.dims.slice(0, -2) : [];
  const [rows, columns, ...rest] = constant.dims.slice(ones.length);
  if (rows === undefined || columns === undefined || rest.length > 0) return undefined;
  if (ones.some((dim) => dim !== 1)) return undefined;
  const matrix = storeMatrix(rewriting, constant, [rows, columns], false);
  if (matrix === undefined) return undefined;
  return [...matrix.nodes, { ...node, inputs: [activation, matrix.value, ...others] }];
}

/** Says whether recognition sees the matrix as it is: stored with two axes, and never reshaped. */
function isPlain({ tensor, path }: LaidConstant): boolean {
  return (
    tensor.dims.length === 2 && path.every((step) => isOp(step, 'Identity', 'Cast', 'Transpose'))
  );
}

function plainEinsum(rewriting: Rewriting, node: Node): readonly Node[] | undefined {
  const { view, makeName } = rewriting;
  const operands = einsumOperands(view, node);
  if (operands === undefined) return undefined;
  const { activation, constant } = operands;
  const product = describeEinsum(view, node, operands);
  if (typeof product === 'string') return undefined;
  const { kept, summed, isTransposed } = product;
  const { dims } = constant;
  const depth = isTransposed ? dims.slice(-summed) : dims.slice(0, summed);
  const own = isTransposed ? dims.slice(0, -summed) : dims.slice(summed);
  // onnxruntime's Einsum repeats axes of one, which no matrix does.
  const given = view.facts(activation).shape?.slice(kept) ?? [];
  if (given.some((dim, axis) => typeof dim === 'number' && dim !== depth[axis])) return undefined;
  const columns = elementCount(own);
  const rows = elementCount(dims) / columns;
  const matrix = storeMatrix(rewriting, constant, [rows, columns], isTransposed);
  if (matrix === undefined) return undefined;
  const [output = ''] = node.outputs;
  const nodes = [...matrix.nodes];
  let input = activation;
  if (summed > 1) {
    input = makeName(`${output}_rows`);
    nodes.push(reshape(rewriting, activation, input, [...zeros(kept), rows]));
  }
  const flat = own.length > 1 ? makeName(`${output}_flat`) : output;
  const attributes = new Map();
  nodes.push({
    ...node,
    opType: 'MatMul',
    inputs: [input, matrix.value],
    outputs: [flat],
    attributes,
  });
  if (flat !== output) nodes.push(reshape(rewriting, flat, output, [...zeros(kept), ...own]));
  return nodes;
}

function storeMatrix(
  { makeName, added, left, known }: Rewriting,
  constant: LaidConstant,
  dims: readonly [number, number],
  isTransposed: boolean,
): LaidMatrix | undefined {
  const { initializer, path, turned } = constant;
  const casts = path.filter((step) => isOp(step, 'Cast')).map(({ outputs }) => outputs[0]);
  const key = JSON.stringify([initializer, dims, isTransposed, turned, casts]);
  const stored = known.get(key);
  if (stored !== undefined) return { ...stored, nodes: [] };
  const matrix = matrixOf(constant, dims, isTransposed, makeName);
  if (matrix === undefined) return undefined;
  known.set(key, matrix);
  added.push(matrix.initializer);
  left.add(initializer);
  for (const step of path) left.add(step.outputs[0] ?? '');
  return matrix;
}

function reshape(
  { makeName, added }: Rewriting,
  input: string,
  output: string,
  dims: readonly number[],
): Node {
  const name = makeName(`${output}_shape`);
  const bytes = new Uint8Array(BigInt64Array.from(dims, BigInt).buffer);
  added.push(inlineTensor(name, 'int64', [dims.length], bytes));
  return {
    name: makeName(`${output}_reshape`),
    opType: 'Reshape',
    domain: '',
    inputs: [input, name],
    outputs: [output],
    attributes: new Map(),
  };
}

/** Reshape copies an axis where its target is 0. */
function zeros(count: number): readonly number[] {
  return Array.from({ length: count }, () => 0);
}
