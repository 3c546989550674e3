import { intAttribute, intsAttribute, subgraphs, tensorAttribute } from '../../ir/attributes.ts';
import { indexUses } from '../../ir/index-uses.ts';
import type { Graph, Model, Node } from '../../ir/model.ts';
import type { Tensor, TensorSource } from '../../ir/tensor.ts';

/**
 * Largest sum of two neighbouring weights of one sign that no CPU saturates: x86 before VNNI adds two
 * products of a uint8 activation in 16 bits, and 255 * 128 = 32,640 fits where 255 * 129 does not.
 */
export const SAFE_PAIR = 128;

/** Bytes of a weight that are in memory at once. */
const BLOCK_BYTES = 8 * 1024 * 1024;

/** What one product's weight does on a CPU that adds pairs of products in 16 bits. */
export interface ProductPairs {
  /** Node name, or its first output where it has none. */
  readonly node: string;
  /** Largest `|w[2k] + w[2k+1]|` or `|w|` along the input axis; up to {@link SAFE_PAIR} is exact everywhere. */
  readonly worstPair: number;
  /** Pairs of inputs times output channels. */
  readonly pairs: number;
  readonly unsafePairs: number;
}

/** Which integer products of a model saturate on x86 without VNNI. */
export interface SaturationScan {
  readonly products: readonly ProductPairs[];
  /** Integer layers that were not looked at: convolutions, recurrences, weights that are not constant. */
  readonly notScanned: readonly { readonly node: string; readonly reason: string }[];
}

/**
 * Returns, for every product of 8-bit activations with a constant int8 weight, in whatever form
 * (Q/DQ, QGemm, MatMulInteger, ...), the pairs of neighbouring inputs that can overflow. It proves safety
 * for every input; that a pair is unsafe does not say that data ever overflow it. Weights
 * are read block by block. uint8 weights are multiplied exactly everywhere and do not count.
 */
export async function scanSaturation(model: Model): Promise<SaturationScan> {
  const products: ProductPairs[] = [];
  const notScanned: { node: string; reason: string }[] = [];
  const known = new Map<string, Promise<Omit<ProductPairs, 'node'>>>();
  for (const { node, weight, reason } of integerProducts(model.graph, [])) {
    const name = node.name === '' ? (node.outputs[0] ?? '') : node.name;
    if (weight === undefined) {
      notScanned.push({ node: name, reason });
      continue;
    }
    const key = `${weight.tensor.name}|${weight.inputAxis}`;
    const pairs = known.get(key) ?? countPairs(weight);
    known.set(key, pairs);
    products.push({ node: name, ...(await pairs) });
  }
  return { products, notScanned };
}

/** An int8 matrix and the axis, 0 or 1, along which inputs lie. */
interface IntegerWeight {
  readonly tensor: Tensor;
  readonly inputAxis: number;
}

type FoundProduct =
  | { readonly node: Node; readonly weight: IntegerWeight; readonly reason?: never }
  | { readonly node: Node; readonly weight?: never; readonly reason: string };

/** Where the operators of integer products have activations and weights. */
const INTEGER_OPS: Readonly<
  Record<string, { readonly activation: number; readonly weight: number }>
> = {
  MatMulInteger: { activation: 0, weight: 1 },
  MatMulIntegerToFloat: { activation: 0, weight: 1 },
  DynamicQuantizeMatMul: { activation: 0, weight: 1 },
  QLinearMatMul: { activation: 0, weight: 3 },
  QGemm: { activation: 0, weight: 3 },
};

/** Integer operators whose kernels order the weights in a way of their own. */
const OTHER_INTEGER_OPS: ReadonlySet<string> = new Set([
  'ConvInteger',
  'DynamicQuantizeLSTM',
  'QAttention',
  'QLinearConv',
]);

const FLOAT_PRODUCTS: ReadonlySet<string> = new Set(['MatMul', 'Gemm']);

/** One graph and those around it: bodies read constants of the graphs they stand in. */
interface Scope {
  readonly graph: Graph;
  readonly producers: ReadonlyMap<string, Node>;
}

function* integerProducts(graph: Graph, outer: readonly Scope[]): Generator<FoundProduct> {
  const scopes = [{ graph, producers: indexUses(graph).producers }, ...outer];
  for (const node of graph.nodes) {
    const found = integerProduct(node, scopes);
    if (found !== undefined) yield found;
    for (const body of subgraphs(node)) yield* integerProducts(body, scopes);
  }
}

function integerProduct(node: Node, scopes: readonly Scope[]): FoundProduct | undefined {
  const { opType, inputs } = node;
  if (OTHER_INTEGER_OPS.has(opType)) return { node, reason: `${opType} is not looked at` };
  const places = INTEGER_OPS[opType];
  if (places !== undefined) {
    return asFound(node, findWeight(inputs[places.weight] ?? '', scopes));
  }
  const isConvolution = opType === 'Conv' && isDequantized(inputs[1] ?? '', scopes);
  if (!FLOAT_PRODUCTS.has(opType) && !isConvolution) return undefined;
  if (!isDequantized(inputs[0] ?? '', scopes)) return undefined;
  if (isConvolution) return { node, reason: 'an INT8 Conv is not looked at' };
  const found = findWeight(inputs[1] ?? '', scopes);
  const isTransposed = opType === 'Gemm' && intAttribute(node, 'transB', 0) === 1;
  if (found === undefined || !found.isDequantized) return undefined;
  return asFound(node, isTransposed ? { ...found, isTurned: !found.isTurned } : found);
}

function asFound(node: Node, found: FoundWeight | undefined): FoundProduct | undefined {
  if (found === undefined) return { node, reason: 'its weight is no constant' };
  const { tensor, isTurned } = found;
  if (tensor.dataType !== 'int8') return undefined;
  if (tensor.dims.length !== 2) {
    return { node, reason: `its weight has ${tensor.dims.length} dimensions` };
  }
  return { node, weight: { tensor, inputAxis: isTurned ? 1 : 0 } };
}

/** Ops through which onnxruntime moves a DequantizeLinear to the product behind them. */
const MOVING_OPS: ReadonlySet<string> = new Set([
  'Flatten',
  'Identity',
  'Reshape',
  'Squeeze',
  'Transpose',
  'Unsqueeze',
]);

/** Whether a value is made of 8-bit integers and a scale. A loop: files may chain thousands of such ops. */
function isDequantized(value: string, scopes: readonly Scope[]): boolean {
  let node = producerOf(value, scopes);
  while (node !== undefined && MOVING_OPS.has(node.opType)) {
    node = producerOf(node.inputs[0] ?? '', scopes);
  }
  if (node?.opType !== 'DequantizeLinear') return false;
  const zeroPoint = constantOf(node.inputs[2] ?? '', scopes);
  return zeroPoint === undefined || /^u?int8$/.test(zeroPoint.dataType);
}

interface FoundWeight {
  readonly tensor: Tensor;
  /** Whether rows of the constant are columns of what the product reads. */
  readonly isTurned: boolean;
  readonly isDequantized: boolean;
}

/** The constant behind a weight, looking through DequantizeLinear, Identity and Transpose. */
function findWeight(value: string, scopes: readonly Scope[]): FoundWeight | undefined {
  let [at, isTurned, isDequantized] = [value, false, false];
  for (;;) {
    const tensor = constantOf(at, scopes);
    if (tensor !== undefined) return { tensor, isTurned, isDequantized };
    const node = producerOf(at, scopes);
    if (node === undefined) return undefined;
    if (node.opType === 'DequantizeLinear') isDequantized = true;
    else if (node.opType === 'Transpose') {
      const [first] = intsAttribute(node, 'perm') ?? [];
      if (first === undefined || first === 1) isTurned = !isTurned;
    } else if (node.opType !== 'Identity') return undefined;
    at = node.inputs[0] ?? '';
  }
}

function constantOf(value: string, scopes: readonly Scope[]): Tensor | undefined {
  for (const { graph } of scopes) {
    const tensor = graph.initializers.get(value);
    if (tensor !== undefined) return tensor;
  }
  const node = producerOf(value, scopes);
  return node?.opType === 'Constant' ? tensorAttribute(node, 'value') : undefined;
}

function producerOf(value: string, scopes: readonly Scope[]): Node | undefined {
  for (const { producers } of scopes) {
    const node = producers.get(value);
    if (node !== undefined) return node;
  }
  return undefined;
}

async function countPairs({
  tensor,
  inputAxis,
}: IntegerWeight): Promise<Omit<ProductPairs, 'node'>> {
  const [rows, columns] = tensor.dims as readonly [number, number];
  const [inputs, channels] = inputAxis === 1 ? [columns, rows] : [rows, columns];
  const counted = { worstPair: 0, unsafePairs: 0 };
  // Two rows at a time where inputs lie along them.
  const taken = 2 * Math.max(1, Math.floor(BLOCK_BYTES / (2 * Math.max(1, columns))));
  const block = new Int8Array(Math.min(rows, taken) * columns);
  for (let row = 0; row < rows; row += taken) {
    const count = Math.min(taken, rows - row);
    const part = block.subarray(0, count * columns);
    await readInto(tensor.source, part, row * columns);
    if (inputAxis === 1) countInRows(part, columns, counted);
    else countInColumns(part, columns, counted);
  }
  return { ...counted, pairs: Math.floor(inputs / 2) * channels };
}

function readInto(source: TensorSource, into: Int8Array, offset: number): Promise<void> {
  return source.read(new Uint8Array(into.buffer, into.byteOffset, into.length), offset);
}

interface PairCount {
  worstPair: number;
  unsafePairs: number;
}

function countInRows(values: Int8Array, columns: number, into: PairCount): void {
  let { worstPair, unsafePairs } = into;
  for (let start = 0; start < values.length; start += columns) {
    const end = start + columns;
    for (let index = start; index < end; index += 2) {
      const a = values[index]!;
      const b = index + 1 < end ? values[index + 1]! : 0;
      const reach = pairReach(a, b);
      if (reach > worstPair) worstPair = reach;
      if (reach > SAFE_PAIR) unsafePairs++;
    }
  }
  into.worstPair = worstPair;
  into.unsafePairs = unsafePairs;
}

function countInColumns(values: Int8Array, columns: number, into: PairCount): void {
  let { worstPair, unsafePairs } = into;
  for (let start = 0; start < values.length; start += 2 * columns) {
    const hasNext = start + columns < values.length;
    for (let index = start; index < start + columns; index++) {
      const reach = pairReach(values[index]!, hasNext ? values[index + columns]! : 0);
      if (reach > worstPair) worstPair = reach;
      if (reach > SAFE_PAIR) unsafePairs++;
    }
  }
  into.worstPair = worstPair;
  into.unsafePairs = unsafePairs;
}

/** Of opposite signs the larger alone counts: the other may be multiplied by zero. */
function pairReach(a: number, b: number): number {
  const sum = Math.abs(a + b);
  return Math.max(sum, Math.abs(a), Math.abs(b));
}
