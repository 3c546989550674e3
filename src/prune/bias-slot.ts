import { floatAttribute, intAttribute } from '../ir/attributes.ts';
import type { Node } from '../ir/model.ts';
import type { Tensor } from '../ir/tensor.ts';
import { type GraphView, isOp } from '../passes/graph-view.ts';
import type { Consumer } from './follow-units.ts';

/** A stored vector by which a constant can be added to the output of a product at no cost. */
export interface BiasSlot {
  /** The initializer, one element for each output feature. */
  readonly value: string;
  readonly tensor: Tensor;
  /** -1 where the vector is taken away: the mean of a BatchNormalization. */
  readonly sign: 1 | -1;
}

/**
 * Returns the bias of a product: of a Conv or Gemm its own, of a MatMul the constant that the one Add behind it adds;
 * of a Conv without one the mean of the one BatchNormalization behind it. Undefined where there is none that is this
 * product's alone.
 */
export function biasSlot(view: GraphView, consumer: Consumer): BiasSlot | undefined {
  const found = addedBehind(view, consumer);
  // One number for all features, or one feature spread over many, is no bias of each.
  return found?.tensor.dims.at(-1) === featuresOf(view, consumer) ? found : undefined;
}

/** Output features of a product whose weight is a matrix or a filter. */
function featuresOf(view: GraphView, { node, weight, weightAxis }: Consumer): number | undefined {
  const shape = view.facts(node.inputs[weight] ?? '').shape;
  const isMatrix = shape?.length === 2;
  const features = isOp(node, 'Conv') ? shape?.[0] : isMatrix ? shape[1 - weightAxis] : undefined;
  return typeof features === 'number' ? features : undefined;
}

function addedBehind(view: GraphView, { node, weight, data }: Consumer): BiasSlot | undefined {
  // With the weight on the left the features lie along rows, and a bias along columns is another thing.
  if (weight !== 1 || data !== 0) return undefined;
  if (isOp(node, 'Conv')) {
    const own = node.inputs[2] ?? '';
    if (own !== '') return slot(view, own, node, 1);
    const norm = onlyReader(view, node);
    const isStill =
      isOp(norm, 'BatchNormalization') && intAttribute(norm, 'training_mode', 0) === 0;
    if (!isStill || norm.inputs[0] !== node.outputs[0]) return undefined;
    return slot(view, norm.inputs[3] ?? '', norm, -1);
  }
  if (isOp(node, 'Gemm')) {
    const isPlain = floatAttribute(node, 'alpha', 1) === 1 && floatAttribute(node, 'beta', 1) === 1;
    return isPlain ? slot(view, node.inputs[2] ?? '', node, 1) : undefined;
  }
  const add = onlyReader(view, node);
  if (!isOp(node, 'MatMul') || !isOp(add, 'Add')) return undefined;
  const other = add.inputs[0] === node.outputs[0] ? add.inputs[1] : add.inputs[0];
  return slot(view, other ?? '', add, 1);
}

function onlyReader(view: GraphView, node: Node): Node | undefined {
  const output = node.outputs[0] ?? '';
  const [use, ...others] = view.uses(output);
  return others.length > 0 || view.isOutput(output) ? undefined : use?.node;
}

function slot(view: GraphView, value: string, reader: Node, sign: 1 | -1): BiasSlot | undefined {
  const tensor = view.graph.initializers.get(value);
  const isInput = view.graph.inputs.some(({ name }) => name === value);
  if (tensor === undefined || isInput || view.isOutput(value)) return undefined;
  const isFloat = ['float32', 'float16', 'bfloat16'].includes(tensor.dataType);
  const isVector = tensor.dims.length > 0 && tensor.dims.slice(0, -1).every((dim) => dim === 1);
  const uses = view.uses(value);
  const isOwn = uses.length === 1 && uses[0]!.node === reader;
  return isFloat && isVector && isOwn ? { value, tensor, sign } : undefined;
}
