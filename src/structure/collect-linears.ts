import { intAttribute, intsAttribute } from '../ir/attributes.ts';
import type { Node } from '../ir/model.ts';
import { elementCount } from '../ir/tensor.ts';
import { findOp } from '../ops/index.ts';
import { constantValues } from '../passes/constant-nodes.ts';
import { describeEinsum, einsumOperands } from '../passes/einsum-operands.ts';
import { findReader, type GraphView, isMoving, isOp, isTransparent } from '../passes/graph-view.ts';
import type { PassContext } from '../passes/pass.ts';
import { type ConstantPath, findConstant } from './constant-path.ts';
import { hiddenProducts } from './hidden-products.ts';
import { layerName } from './layer-name.ts';
import type { LinearLayer } from './linear-layer.ts';

type Bias = NonNullable<LinearLayer['bias']>;

/** A product with its features, before its bias and name are known. */
interface Product {
  readonly constant: ConstantPath;
  readonly outputAxis: number;
  readonly inFeatures: number;
  readonly outFeatures: number;
  readonly isPatch: boolean;
}

/**
 * Returns every product with a constant weight in node order, all with role `other`, or
 * `embedding-projection` for a patch embedding. Roles come from the blocks around them.
 */
export function collectLinears(
  view: GraphView,
  context: PassContext,
  isInner: (node: Node) => boolean,
): LinearLayer[] {
  const layers: LinearLayer[] = [];
  const isComputed = computedWeights(view);
  for (const node of view.graph.nodes) {
    const decline = (reason: string): void => {
      context.decline({ pass: 'find-linears', node: node.name || (node.outputs[0] ?? ''), reason });
    };
    const hidden = hiddenProducts(node);
    if (hidden > 0)
      decline(`${hidden} products with constants lie in graphs that only ${node.opType} reads`);
    if (isOp(node, 'Einsum')) declineEinsum(view, node, decline);
    if (!isOp(node, 'MatMul', 'Gemm', 'Conv', 'MatMulNBits')) continue;
    const product = describeProduct(view, node, decline);
    if (product === undefined && isComputed(node)) {
      const maker = view.producer(node.inputs[1] ?? '')?.opType;
      decline(`the weight is computed from constants by ${maker}`);
    }
    if (product !== undefined) layers.push(makeLayer(view, node, product));
  }
  return withUniqueNames(layers, isInner);
}

/** `plain-products` has already spelled those as MatMul that are products with a matrix. */
function declineEinsum(view: GraphView, node: Node, decline: (reason: string) => void): void {
  const operands = einsumOperands(view, node);
  if (operands === undefined) return;
  const product = describeEinsum(view, node, operands);
  decline(typeof product === 'string' ? product : 'an Einsum where MatMul is expected');
}

/** Returns what says whether a product reads a weight that is the same in every run, but not stored as it is. */
function computedWeights(view: GraphView): (node: Node) => boolean {
  let constants: ReadonlySet<string> | undefined;
  return ({ inputs: [, weight = ''] }) => {
    if (view.producer(weight) === undefined || findConstant(view, weight) !== undefined)
      return false;
    constants ??= constantValues(view.graph);
    return constants.has(weight);
  };
}

function describeProduct(
  view: GraphView,
  node: Node,
  decline: (reason: string) => void,
): Product | undefined {
  const constant = findConstant(view, node.inputs[1] ?? '');
  if (constant === undefined) {
    if (findConstant(view, node.inputs[0] ?? '') !== undefined)
      decline('the weight is the left operand');
    return undefined;
  }
  const { dims } = constant.tensor;
  if (node.opType === 'Conv') return describeConv(node, constant, decline);
  if (node.opType === 'MatMulNBits') {
    const [inFeatures, outFeatures] = [intAttribute(node, 'K', 0), intAttribute(node, 'N', 0)];
    return { constant, outputAxis: 0, inFeatures, outFeatures, isPatch: false };
  }
  if (dims.length !== 2) {
    decline(`the weight has ${dims.length} axes, a linear layer has 2`);
    return undefined;
  }
  if (node.opType === 'Gemm' && intAttribute(node, 'transA', 0) === 1) {
    decline('Gemm transposes its input');
    return undefined;
  }
  const asRead = findOp('', node.opType)?.weight?.outputAxis(node, 2) ?? 1;
  const transposes = constant.path.filter((step) => step.opType === 'Transpose').length;
  const outputAxis = transposes % 2 === 1 ? 1 - asRead : asRead;
  const [inFeatures, outFeatures] = [dims[1 - outputAxis] ?? 0, dims[outputAxis] ?? 0];
  if (inFeatures === 1) {
    decline('an outer product, as rotary frequencies make');
    return undefined;
  }
  return { constant, outputAxis, inFeatures, outFeatures, isPatch: false };
}

/** A Conv is linear per position when its window is 1, or when windows tile the input (patches). */
function describeConv(
  node: Node,
  constant: ConstantPath,
  decline: (reason: string) => void,
): Product | undefined {
  const [outFeatures = 0, ...rest] = constant.tensor.dims;
  const kernel = rest.slice(1);
  const strides = intsAttribute(node, 'strides') ?? kernel.map(() => 1);
  const padded = (intsAttribute(node, 'pads') ?? []).some((pad) => pad !== 0);
  const pointwise = kernel.every((size) => size === 1);
  const tiles = kernel.every((size, axis) => size === strides[axis]);
  if (intAttribute(node, 'group', 1) !== 1 || padded || !(pointwise || tiles)) {
    decline('a convolution over more than one position');
    return undefined;
  }
  const inFeatures = elementCount(rest);
  return { constant, outputAxis: 0, inFeatures, outFeatures, isPatch: !pointwise };
}

function makeLayer(view: GraphView, node: Node, product: Product): LinearLayer {
  const { constant, outputAxis, inFeatures, outFeatures, isPatch } = product;
  const [output = ''] = node.outputs;
  const bias =
    node.opType === 'MatMul' || node.opType === 'MatMulNBits'
      ? addedBias(view, output, outFeatures)
      : inputBias(view, node.inputs[2] ?? '');
  const { tensor, initializer } = constant;
  return {
    name: layerName({
      node,
      others: [bias?.add],
      weight: { name: initializer, metadata: tensor.metadata },
      bias: bias?.initializer,
    }),
    node,
    role: isPatch && readsGraphInput(view, node) ? 'embedding-projection' : 'other',
    block: undefined,
    input: node.inputs[0] ?? '',
    output: bias?.add?.outputs[0] ?? output,
    weight: { ...constant, outputAxis },
    inFeatures,
    outFeatures,
    ...(bias !== undefined && { bias }),
  };
}

/** Patches are cut from what the model is given; other tiling convolutions only shorten a sequence. */
function readsGraphInput(view: GraphView, node: Node): boolean {
  let at = node.inputs[0] ?? '';
  for (;;) {
    const source = view.producer(at);
    if (source === undefined) return true;
    if (!isMoving(source) && !isTransparent(source)) return false;
    at = source.inputs[0] ?? '';
  }
}

function inputBias(view: GraphView, value: string): Bias | undefined {
  const constant = value === '' ? undefined : findConstant(view, value);
  return constant && { tensor: constant.tensor, initializer: constant.initializer };
}

/** A bias is the only reader of the product: an Add, either way round, of a constant vector. */
function addedBias(view: GraphView, product: string, outFeatures: number): Bias | undefined {
  if (view.isOutput(product) || view.uses(product).length !== 1) return undefined;
  const add = view.uses(product)[0]?.node;
  if (!isOp(add, 'Add') || findReader(view, product, 'Add') !== add) return undefined;
  const constant = findConstant(view, add.inputs[add.inputs[0] === product ? 1 : 0] ?? '');
  const dims = constant?.tensor.dims;
  if (constant === undefined || dims?.at(-1) !== outFeatures) return undefined;
  if (elementCount(dims) !== outFeatures) return undefined;
  return { tensor: constant.tensor, initializer: constant.initializer, add };
}

/**
 * A module that is called twice gives two layers of one name; the later ones get a number. Layers of the
 * main graph come first, so that they are called alike whether bodies are opened or not.
 */
function withUniqueNames(
  layers: readonly LinearLayer[],
  isInner: (node: Node) => boolean,
): LinearLayer[] {
  const taken = new Map<string, number>();
  const name = (layer: LinearLayer): LinearLayer => {
    const count = taken.get(layer.name) ?? 0;
    taken.set(layer.name, count + 1);
    return count === 0 ? layer : { ...layer, name: `${layer.name}#${count + 1}` };
  };
  const main = new Map(layers.filter(({ node }) => !isInner(node)).map((it) => [it, name(it)]));
  return layers.map((layer) => main.get(layer) ?? name(layer));
}
