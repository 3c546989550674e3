import { indexUses, type UseIndex } from '../../ir/index-uses.ts';
import type { Model, Node } from '../../ir/model.ts';
import type { Facts } from '../../ops/op-spec.ts';
import { inferFacts } from '../../passes/infer-facts.ts';
import { typeAfter } from '../../quantize/layer-limits.ts';
import type { LinearForm } from '../../quantize/quantization-plan.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';

/** How an activation is quantized before its readers. */
export type Quantizer = 'QuantizeLinear' | 'two planes' | 'DynamicQuantizeLinear';

/** The graph around products, as it will be when activations are quantized. */
export interface ProductSurroundings {
  /** Types and shapes of the values of the main graph. */
  readonly facts: ReadonlyMap<string, Facts>;
  readonly index: UseIndex;
  /** Products whose input is quantized. Those that read the same value share one quantizer. */
  readonly quantizers: ReadonlyMap<Node, Quantizer>;
  /** The graph that a node lies in: quantizers in bodies are not seen from outside. */
  readonly placeOf: (node: Node) => string;
}

/** What keeps onnxruntime 1.30 from merging a product whose weight is a DequantizeLinear into something float. */
export interface ProductForm {
  /**
   * Whether a vector of zeros is subtracted from the product: no fusion looks through a Sub, and as
   * opposed to an Add of zeros it changes no number and is not taken for a bias.
   */
  readonly isShielded: boolean;
  /** The Add whose constant bias [N] is to be a row [1, N], which is not taken for the bias of a Gemm. */
  readonly rowBias?: Node;
}

/** What reads a value, where that matters to a fusion: one thing, or a quantizer beside others. */
type Follower =
  | 'Transpose'
  | 'clip'
  | 'clip, then quantized'
  | 'quantized'
  | 'quantized and more'
  | 'other';

const AS_IT_IS: ProductForm = { isShielded: false };
const CLIPS: ReadonlySet<string> = new Set(['Relu', 'Clip']);

/** Returns what {@link chooseProductForm} looks at. */
export function surroundProducts(
  model: Model,
  quantizers: ReadonlyMap<Node, Quantizer>,
  placeOf: (node: Node) => string = () => '',
): ProductSurroundings {
  const { graph } = model;
  return { facts: inferFacts(model).of(graph), index: indexUses(graph), quantizers, placeOf };
}

/**
 * Returns what a product needs around it to fuse. onnxruntime 1.30 (seen on its optimised graphs) leaves a
 * product float that only a Relu or Clip reads, which one node reads; one that a Q reads beside others; a
 * weight-only one that a Q reads at all; and a Gemm that a Transpose reads. MatMul + Add becomes a float
 * Gemm with bias when the input has rank 2, or more with all dims known and a bias of rank 1.
 */
export function chooseProductForm(
  around: ProductSurroundings,
  layer: LinearLayer,
  form: LinearForm,
): ProductForm {
  const { node } = layer;
  const output = node.outputs[0]!;
  const ownBias = node.opType === 'Gemm' ? (node.inputs[2] ?? '') : '';
  const add = ownBias === '' ? onlyAdd(around, output) : undefined;
  const bias = add === undefined ? ownBias : operandBeside(add, output);
  if (bias === '') {
    return FATAL_TO[form]?.has(followerOf(around, output)) ? { isShielded: true } : AS_IT_IS;
  }
  const rank = around.facts.get(bias)?.shape?.length;
  const isVector = rank === undefined || rank === 1;
  const shape = around.facts.get(layer.input)?.shape;
  const isStatic = shape?.every((dim) => typeof dim === 'number');
  const isFlat = node.opType === 'Gemm' || shape?.length === 2;
  if (form === 'MatMulIntegerToFloat') {
    return isStatic && isVector ? hideBias(layer, add) : AS_IT_IS;
  }
  if (form !== 'MatMulNBits') return AS_IT_IS;
  const next = followerOf(around, add?.outputs[0] ?? output);
  if (isFlat) {
    const isMatrix = rank === undefined || rank > 1;
    return { isShielded: isMatrix || FATAL_TO.MatMulNBits!.has(next) };
  }
  return isStatic && isVector && next === 'quantized' ? hideBias(layer, add) : AS_IT_IS;
}

/** What may not follow a product without bias, by the kernel that it is to become. */
const FATAL_TO: Partial<Record<LinearForm, ReadonlySet<Follower>>> = {
  MatMulIntegerToFloat: new Set<Follower>(['clip', 'quantized and more']),
  QGemm: new Set<Follower>(['clip', 'quantized and more', 'Transpose']),
  MatMulNBits: new Set<Follower>([
    'clip',
    'clip, then quantized',
    'quantized',
    'quantized and more',
  ]),
};

function hideBias({ bias, outFeatures, weight }: LinearLayer, add: Node | undefined): ProductForm {
  const isPlain =
    add !== undefined &&
    bias?.add === add &&
    bias.tensor.dims.length === 1 &&
    bias.tensor.dims[0] === outFeatures &&
    bias.tensor.dataType === typeAfter(weight.tensor.dataType, weight.path);
  return isPlain ? { isShielded: false, rowBias: add } : { isShielded: true };
}

/** The Add that alone reads a value which is no graph output. */
function onlyAdd(around: ProductSurroundings, value: string): Node | undefined {
  if (around.index.outputs.has(value)) return undefined;
  const [only, ...others] = edgesOf(around, value);
  return others.length === 0 && typeof only === 'object' && only.opType === 'Add'
    ? only
    : undefined;
}

function operandBeside(add: Node, value: string): string {
  return add.inputs.find((name) => name !== value) ?? value;
}

function followerOf(around: ProductSurroundings, value: string): Follower {
  const { outputs } = around.index;
  const edges = edgesOf(around, value);
  const [only, ...others] = edges;
  if (edges.includes('QuantizeLinear')) {
    return others.length > 0 || outputs.has(value) ? 'quantized and more' : 'quantized';
  }
  if (typeof only !== 'object' || others.length > 0) return 'other';
  const result = only.outputs[0]!;
  if (CLIPS.has(only.opType) && !outputs.has(result)) {
    const [next, ...more] = edgesOf(around, result);
    if (next === undefined || more.length > 0) return 'other';
    return next === 'QuantizeLinear' ? 'clip, then quantized' : 'clip';
  }
  return only.opType === 'Transpose' && !outputs.has(value) ? 'Transpose' : 'other';
}

/** What reads a value: nodes, and one quantizer for all products that share it. onnxruntime drops Identity first. */
function edgesOf(around: ProductSurroundings, value: string): readonly (Node | Quantizer)[] {
  const { index, quantizers, placeOf } = around;
  const producer = index.producers.get(value);
  const place = producer === undefined ? '' : placeOf(producer);
  const edges: (Node | Quantizer)[] = [];
  const shared = new Set<Quantizer | Node>();
  for (const { node, inputIndex } of index.uses.get(value) ?? []) {
    const isNear = inputIndex === 0 && placeOf(node) === place;
    const quantizer = isNear ? quantizers.get(node) : undefined;
    if (quantizer === 'two planes') {
      // The residual is made of the value too.
      shared.add('QuantizeLinear').add(node);
    } else if (quantizer !== undefined) shared.add(quantizer);
    else if (node.opType === 'Identity') edges.push(...edgesOf(around, node.outputs[0]!));
    else edges.push(node);
  }
  return [...edges, ...shared];
}
