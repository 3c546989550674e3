import { attributes, intsAttribute, tensorAttribute } from '../ir/attributes.ts';
import type { Node } from '../ir/model.ts';
import { elementCount, type Tensor } from '../ir/tensor.ts';
import { type GraphView, isOp } from './graph-view.ts';

/** A constant behind ops that reshape, turn or cast it, as the elements lie in the file. */
export interface LaidConstant {
  readonly tensor: Tensor;
  /** Initializer name, or the output of the Constant node that holds the tensor. */
  readonly initializer: string;
  /** The nodes between, initializer first. */
  readonly path: readonly Node[];
  /** What the value that was asked for has as shape. */
  readonly dims: readonly number[];
  /**
   * Rows of the matrix that is turned over: the elements come as those of the transpose of [turned, rest].
   * Undefined where they come as they are stored.
   */
  readonly turned: number | undefined;
}

/** Exporters leave three or four nodes between a weight and its reader. */
const MAX_PATH = 16;

const RESHAPING = ['Reshape', 'Squeeze', 'Unsqueeze', 'Flatten'];

/**
 * Returns the constant behind a value, through Identity, Cast, Reshape, Squeeze, Unsqueeze, Flatten and such
 * Transposes as exchange leading and trailing axes; undefined for anything else, and for constants
 * that a caller may replace (graph inputs).
 */
export function findLaidConstant(view: GraphView, value: string): LaidConstant | undefined {
  const path: Node[] = [];
  let at = value;
  for (;;) {
    const node = view.producer(at);
    const tensor =
      view.graph.initializers.get(at) ??
      (isOp(node, 'Constant') ? tensorAttribute(node, 'value') : undefined);
    if (tensor !== undefined) {
      if (view.graph.inputs.some(({ name }) => name === at)) return undefined;
      return layOut(
        view,
        { tensor, initializer: at, path: [], dims: tensor.dims, turned: undefined },
        path,
      );
    }
    if (path.length === MAX_PATH) return undefined;
    if (!isOp(node, 'Identity', 'Cast', 'Transpose', ...RESHAPING)) return undefined;
    path.unshift(node);
    at = node.inputs[0] ?? '';
  }
}

/** Follows the constant along `path`. */
function layOut(
  view: GraphView,
  stored: LaidConstant,
  path: readonly Node[],
): LaidConstant | undefined {
  let constant = stored;
  for (const node of path) {
    const next = isOp(node, 'Transpose') ? turn(constant, node) : reshaped(view, constant, node);
    if (next === undefined) return undefined;
    constant = { ...next, path: [...constant.path, node] };
  }
  return constant;
}

function reshaped(view: GraphView, constant: LaidConstant, node: Node): LaidConstant | undefined {
  if (!isOp(node, ...RESHAPING)) return constant;
  const shape = view.facts(node.outputs[0] ?? '').shape ?? [];
  const dims = shape.filter((dim): dim is number => typeof dim === 'number');
  const isKnown =
    dims.length === shape.length && elementCount(dims) === elementCount(constant.dims);
  return isKnown ? { ...constant, dims } : undefined;
}

function turn(constant: LaidConstant, node: Node): LaidConstant | undefined {
  const { dims, turned } = constant;
  const perm = intsAttribute(node, 'perm') ?? dims.map((_, axis) => dims.length - 1 - axis);
  const next = perm.map((axis) => dims[axis] ?? 0);
  // Axes of one element may go anywhere.
  const moved = perm.filter((axis) => dims[axis] !== 1);
  const first = moved[0] ?? 0;
  const inOrder = moved.toSorted((a, b) => a - b);
  const rotated = [
    ...inOrder.filter((axis) => axis >= first),
    ...inOrder.filter((axis) => axis < first),
  ];
  if (moved.some((axis, index) => axis !== rotated[index])) return undefined;
  const leading = elementCount(inOrder.filter((axis) => axis < first).map((axis) => dims[axis]!));
  if (leading === 1) return { ...constant, dims: next };
  const rest = elementCount(dims) / leading;
  if (turned === undefined) return { ...constant, dims: next, turned: leading };
  return rest === turned ? { ...constant, dims: next, turned: undefined } : undefined;
}

/** A matrix made of a laid constant: its initializer, the nodes behind it and the value they end in. */
export interface LaidMatrix {
  readonly initializer: Tensor;
  readonly nodes: readonly Node[];
  readonly value: string;
}

/**
 * Returns the matrix [rows, columns] whose elements, those of its transpose with `isTransposed`, come in the order
 * of a laid constant: the bytes of the file in other dims, Casts as they were, and a Transpose where it is
 * needed. Undefined when the constant is turned over elsewhere.
 */
export function matrixOf(
  constant: LaidConstant,
  [rows, columns]: readonly [number, number],
  isTransposed: boolean,
  makeName: (wanted: string) => string,
): LaidMatrix | undefined {
  const { tensor, initializer, path, turned } = constant;
  const turns = isTransposed !== (turned !== undefined);
  const dims = turns ? [columns, rows] : [rows, columns];
  if (turned !== undefined && turned !== dims[0]) return undefined;
  const name = makeName(`${initializer}_matrix`);
  const nodes: Node[] = [];
  let value = name;
  const add = (node: Node): void => {
    const output = makeName(`${value}_${node.opType.toLowerCase()}`);
    nodes.push({ ...node, name: output, inputs: [value], outputs: [output] });
    value = output;
  };
  for (const node of path) if (isOp(node, 'Cast')) add(node);
  if (turns) {
    const perm = attributes({ perm: [1n, 0n] });
    add({ name: '', opType: 'Transpose', domain: '', inputs: [], outputs: [], attributes: perm });
  }
  return { initializer: { ...tensor, name, dims }, nodes, value };
}
