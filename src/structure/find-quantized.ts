import type { Model, Node } from '../ir/model.ts';
import { elementCount } from '../ir/tensor.ts';
import { isOp } from '../passes/graph-view.ts';
import { type ConstantUse, constantUses } from './constant-uses.ts';
import { layerName } from './layer-name.ts';

/** A product or token table whose weight somebody has already made integers. */
export interface QuantizedLayer {
  readonly name: string;
  readonly kind: 'product' | 'table';
  /** The operator that computes with the integers, or `DequantizeLinear` where they are widened first. */
  readonly form: string;
  /** Bytes of the integers; 0 where the file still holds the floats in front of a QuantizeLinear. */
  readonly byteLength: number;
}

/** Operators of ONNX and onnxruntime that multiply integer weights. */
const INTEGER_PRODUCTS: ReadonlySet<string> = new Set([
  'ConvInteger',
  'DynamicQuantizeLSTM',
  'DynamicQuantizeMatMul',
  'MatMulBnb4',
  'MatMulFpQ4',
  'MatMulInteger',
  'MatMulInteger16',
  'MatMulIntegerToFloat',
  'MatMulNBits',
  'QAttention',
  'QGemm',
  'QLinearConv',
  'QLinearMatMul',
  'QMoE',
  'QOrderedMatMul',
]);

/** Operators whose constant operand is a weight. */
const PRODUCTS = ['MatMul', 'Gemm', 'Conv', 'ConvTranspose', 'Einsum', 'FusedMatMul', 'FusedConv'];

/** Operators that look up rows of integers. */
const TABLES = ['Gather', 'GatherBlockQuantized', 'QEmbedLayerNormalization'];

/** Smaller constants are shapes and indices. */
const MIN_ELEMENTS = 256;

/**
 * Returns the products and token tables of a model that are stored as integers already, or rounded to them in
 * the graph (QuantizeLinear behind float weights, as quantization-aware training leaves it), in node
 * order, bodies included.
 */
export function findQuantized(model: Model): readonly QuantizedLayer[] {
  const found = new Map<Node, QuantizedLayer>();
  for (const use of constantUses(model.graph)) {
    const { node, tensor } = use;
    const kind = kindOf(use);
    if (kind === undefined || elementCount(tensor.dims) < MIN_ELEMENTS) continue;
    const known = found.get(node);
    const byteLength = isNarrow(tensor.dataType) ? tensor.source.byteLength : 0;
    if (known !== undefined) {
      found.set(node, { ...known, byteLength: known.byteLength + byteLength });
      continue;
    }
    const weight = { name: tensor.name, metadata: tensor.metadata };
    found.set(node, {
      name: layerName({ node, weight }),
      kind,
      form: formOf(use),
      byteLength,
    });
  }
  return [...found.values()];
}

function kindOf({ node, tensor, through }: ConstantUse): QuantizedLayer['kind'] | undefined {
  if (INTEGER_PRODUCTS.has(node.opType)) return isNarrow(tensor.dataType) ? 'product' : undefined;
  const isInteger = isNarrow(tensor.dataType) || through.includes('QuantizeLinear');
  if (!isInteger || tensor.dims.length < 2) return undefined;
  if (isOp(node, ...TABLES)) return 'table';
  return isOp(node, ...PRODUCTS) ? 'product' : undefined;
}

function formOf({ node, through }: ConstantUse): string {
  return through.includes('DequantizeLinear') ? 'DequantizeLinear' : node.opType;
}

/** Integers of 2, 4 and 8 bits, and floats of 8 and fewer. */
function isNarrow(dataType: string): boolean {
  return /^(u?int[248]|float8|float4)/.test(dataType);
}

/** Returns forms with their numbers, most frequent first: `24 MatMulNBits, 6 DequantizeLinear`. */
export function describeForms(layers: readonly QuantizedLayer[]): string {
  const counts = new Map<string, number>();
  for (const { form } of layers) counts.set(form, (counts.get(form) ?? 0) + 1);
  return [...counts]
    .sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1))
    .map(([form, count]) => `${count} ${form}`)
    .join(', ');
}
