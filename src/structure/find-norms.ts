import { floatAttribute, intAttribute } from '../ir/attributes.ts';
import type { Model, Node } from '../ir/model.ts';
import { findReader, type GraphView, isOp, otherOperand, viewGraph } from '../passes/graph-view.ts';
import type { PassContext } from '../passes/pass.ts';
import { type ConstantPath, findConstant, splitConstant } from './constant-path.ts';
import { layerName } from './layer-name.ts';

/** A normalisation over the last axes, whatever ops spell it. */
export interface Norm {
  readonly name: string;
  /** `rms` divides by the root mean square; `layer` subtracts the mean first. */
  readonly kind: 'rms' | 'layer';
  /** One operator, onnxruntime's operator that also adds the residual, or single steps. */
  readonly form: 'operator' | 'skip' | 'decomposed';
  /** All nodes, in the order of the data. */
  readonly nodes: readonly Node[];
  readonly input: string;
  readonly output: string;
  readonly weight: ConstantPath | undefined;
  readonly bias: ConstantPath | undefined;
  readonly epsilon: number | undefined;
  /** Of the skip form: what is added to the input, and the sum where the node gives it out. */
  readonly skip: { readonly value: string; readonly sum: string | undefined } | undefined;
}

/** Returns the norms of the main graph, in node order. */
export function findNorms(model: Model): readonly Norm[] {
  return collectNorms(viewGraph(model));
}

/** Returns the norms of a graph that is already indexed. What looks like one and is not recognised is declined. */
export function collectNorms(view: GraphView, context?: PassContext): readonly Norm[] {
  const found: Norm[] = [];
  for (const node of view.graph.nodes) {
    if (centresByPooling(view, node)) {
      const reason = 'a norm whose mean is a GlobalAveragePool';
      context?.decline({ pass: 'find-norms', node: node.name || (node.outputs[0] ?? ''), reason });
    }
    const norm = operatorNorm(view, node) ?? decomposedNorm(view, node);
    if (norm !== undefined) found.push(norm);
  }
  return found;
}

/** Keras's LayerNormalization, as tf2onnx writes it: `x - GlobalAveragePool(x)`. */
function centresByPooling(view: GraphView, node: Node): boolean {
  if (!isOp(node, 'GlobalAveragePool')) return false;
  const difference = findReader(view, node.outputs[0], 'Sub');
  return view.origin(difference?.inputs[0] ?? '') === view.origin(node.inputs[0] ?? '');
}

function operatorNorm(view: GraphView, node: Node): Norm | undefined {
  const simplified = isOp(node, 'RMSNormalization', 'SimplifiedLayerNormalization');
  const skipRms = isOp(node, 'SkipSimplifiedLayerNormalization');
  const skipLayer = isOp(node, 'SkipLayerNormalization');
  if (!simplified && !skipRms && !skipLayer && !isOp(node, 'LayerNormalization')) return undefined;
  const skips = skipRms || skipLayer;
  const [weight, bias] = [
    node.inputs[skips ? 2 : 1],
    skipRms ? undefined : node.inputs[skips ? 3 : 2],
  ];
  const sum = node.outputs[3];
  return {
    ...named(view, node, weight),
    kind: simplified || skipRms ? 'rms' : 'layer',
    form: skips ? 'skip' : 'operator',
    nodes: [node],
    input: node.inputs[0] ?? '',
    output: node.outputs[0] ?? '',
    weight: constantAt(view, weight),
    bias: constantAt(view, bias),
    epsilon: floatAttribute(node, 'epsilon', 1e-5),
    skip: skips ? { value: node.inputs[1] ?? '', sum: sum === '' ? undefined : sum } : undefined,
  };
}

function constantAt(view: GraphView, value: string | undefined): ConstantPath | undefined {
  return value === undefined || value === '' ? undefined : findConstant(view, value);
}

function named(view: GraphView, node: Node, weight: string | undefined): { readonly name: string } {
  const constant = constantAt(view, weight);
  return {
    name: layerName({
      node,
      weight: constant && { name: constant.initializer, metadata: constant.tensor.metadata },
    }),
  };
}

/**
 * Starts at the mean of squares: `ReduceMean(x * x) + epsilon`, then Sqrt with Div or Reciprocal, or
 * Pow(-0.5), then the product with x; weight and bias follow, Casts anywhere between.
 */
function decomposedNorm(view: GraphView, mean: Node): Norm | undefined {
  if (!isOp(mean, 'ReduceMean') || intAttribute(mean, 'keepdims', 1) !== 1) return undefined;
  const square = view.source(mean.inputs[0] ?? '');
  const base = squaredValue(view, square);
  if (square === undefined || base === undefined) return undefined;
  const add = findReader(view, mean.outputs[0], 'Add');
  const epsilon = add && scalarOperand(view, add);
  if (add === undefined || epsilon === undefined) return undefined;
  const scaled = scaledValue(view, add, base);
  if (scaled === undefined) return undefined;
  const centred = centredInput(view, base);
  const tail = affineTail(view, scaled.node, centred !== undefined);
  const nodes = [...(centred?.nodes ?? []), square, mean, add, ...scaled.nodes, ...tail.nodes];
  return {
    name: layerName({
      node: scaled.node,
      others: [mean],
      weight: tail.weight && {
        name: tail.weight.initializer,
        metadata: tail.weight.tensor.metadata,
      },
    }),
    kind: centred === undefined ? 'rms' : 'layer',
    form: 'decomposed',
    nodes,
    input: centred?.input ?? base,
    output: tail.output,
    weight: tail.weight,
    bias: tail.bias,
    epsilon,
    skip: undefined,
  };
}

function squaredValue(view: GraphView, square: Node | undefined): string | undefined {
  const [a = '', b = ''] = square?.inputs ?? [];
  if (isOp(square, 'Pow') && view.scalar(b) === 2) return view.origin(a);
  return isOp(square, 'Mul') && view.origin(a) === view.origin(b) ? view.origin(a) : undefined;
}

function scalarOperand(view: GraphView, node: Node): number | undefined {
  const [a = '', b = ''] = node.inputs;
  return view.scalar(b) ?? view.scalar(a);
}

/** Follows `mean + epsilon` to the node that gives `x / sqrt(mean + epsilon)`. */
function scaledValue(
  view: GraphView,
  add: Node,
  base: string,
): { readonly node: Node; readonly nodes: readonly Node[] } | undefined {
  const root = findReader(view, add.outputs[0], 'Sqrt', 'Pow');
  if (root === undefined) return undefined;
  const divided = findReader(view, root.outputs[0], 'Div');
  if (
    root.opType === 'Sqrt' &&
    divided !== undefined &&
    view.origin(divided.inputs[0] ?? '') === base
  ) {
    return { node: divided, nodes: [root, divided] };
  }
  if (root.opType === 'Pow' && view.scalar(root.inputs[1] ?? '') !== -0.5) return undefined;
  const inverse =
    root.opType === 'Pow' ? root : (findReader(view, root.outputs[0], 'Reciprocal') ?? divided);
  if (inverse === undefined) return undefined;
  const product = findReader(view, inverse.outputs[0], 'Mul');
  if (product === undefined) return undefined;
  const other = otherOperand(view, product, view.origin(inverse.outputs[0] ?? ''));
  if (other === undefined || view.origin(other) !== base) return undefined;
  return { node: product, nodes: [...new Set([root, inverse, product])] };
}

/** `base = Sub(x, ReduceMean(x))` makes it a layer norm of x. */
function centredInput(
  view: GraphView,
  base: string,
): { readonly input: string; readonly nodes: readonly Node[] } | undefined {
  const subtraction = view.producer(base);
  if (!isOp(subtraction, 'Sub')) return undefined;
  const mean = view.source(subtraction.inputs[1] ?? '');
  const input = subtraction.inputs[0] ?? '';
  if (!isOp(mean, 'ReduceMean')) return undefined;
  if (view.origin(mean.inputs[0] ?? '') !== view.origin(input)) return undefined;
  return { input: view.origin(input), nodes: [mean, subtraction] };
}

interface Tail {
  readonly output: string;
  readonly nodes: readonly Node[];
  readonly weight: ConstantPath | undefined;
  readonly bias: ConstantPath | undefined;
}

function affineTail(view: GraphView, scaled: Node, withBias: boolean): Tail {
  const product = onlyReader(view, scaled.outputs[0] ?? '', 'Mul');
  const weight = product && splitConstant(view, product)?.constant;
  if (product === undefined || weight === undefined) {
    return { output: scaled.outputs[0] ?? '', nodes: [], weight: undefined, bias: undefined };
  }
  const sum = withBias ? onlyReader(view, product.outputs[0] ?? '', 'Add') : undefined;
  const bias = sum && splitConstant(view, sum)?.constant;
  if (sum === undefined || bias === undefined || bias.tensor.dims.length > 1) {
    return { output: product.outputs[0] ?? '', nodes: [product], weight, bias: undefined };
  }
  return { output: sum.outputs[0] ?? '', nodes: [product, sum], weight, bias };
}

function onlyReader(view: GraphView, value: string, opType: string): Node | undefined {
  const readers = view.readers(value);
  return readers.length === 1 && isOp(readers[0]?.node, opType) ? readers[0].node : undefined;
}
