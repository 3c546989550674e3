/** Matrix products. */
import { intAttribute } from '../ir/attributes.ts';
import type { Dim } from '../ir/model.ts';
import { broadcastShapes } from './broadcast.ts';
import { isStatic } from './dim.ts';
import { type Facts, type OpSpec, specs, UNKNOWN } from './op-spec.ts';

/** Numpy's rules: vectors get a dimension that is dropped again, the others broadcast as batches. */
export function matMulShape(
  a: readonly Dim[] | undefined,
  b: readonly Dim[] | undefined,
): readonly Dim[] | undefined {
  if (a === undefined || b === undefined || a.length === 0 || b.length === 0) return undefined;
  const left = a.length === 1 ? [1, ...a] : a;
  const right = b.length === 1 ? [...b, 1] : b;
  const batch = broadcastShapes([left.slice(0, -2), right.slice(0, -2)]) ?? [];
  const rows = a.length === 1 ? [] : [left.at(-2)];
  const columns = b.length === 1 ? [] : [right.at(-1)];
  return [...batch, ...rows, ...columns];
}

/** Returns output elements times the length of the summed axis. */
function productMacs(output: Facts | undefined, depth: Dim): number | undefined {
  if (!isStatic(output?.shape) || typeof depth !== 'number') return undefined;
  return output.shape.reduce((product, dim) => product * dim, depth);
}

const matMul: OpSpec = {
  opType: 'MatMul',
  domain: '',
  infer: (_node, [a = UNKNOWN, b = UNKNOWN]) => [
    { dataType: a.dataType ?? b.dataType, shape: matMulShape(a.shape, b.shape) },
  ],
  weight: { input: 1, outputAxis: (_node, rank) => rank - 1 },
  macs: (_node, [a], [output]) => productMacs(output, a?.shape?.at(-1)),
};

const gemm: OpSpec = {
  opType: 'Gemm',
  domain: '',
  infer: (node, [a = UNKNOWN, b = UNKNOWN]) => {
    const rows = a.shape?.[intAttribute(node, 'transA', 0) === 1 ? 1 : 0];
    const columns = b.shape?.[intAttribute(node, 'transB', 0) === 1 ? 0 : 1];
    return [{ dataType: a.dataType ?? b.dataType, shape: [rows, columns] }];
  },
  weight: {
    input: 1,
    outputAxis: (node) => (intAttribute(node, 'transB', 0) === 1 ? 0 : 1),
  },
  macs: (node, [a], [output]) =>
    productMacs(output, a?.shape?.[intAttribute(node, 'transA', 0) === 1 ? 0 : 1]),
};

/** com.microsoft `MatMulNBits`: B is packed, its logical shape stands in the attributes K and N. */
const matMulNBits: OpSpec = {
  opType: 'MatMulNBits',
  domain: 'com.microsoft',
  infer: (node, [a = UNKNOWN]) => [
    { dataType: a.dataType, shape: a.shape?.with(-1, intAttribute(node, 'N')) },
  ],
  weight: { input: 1, outputAxis: () => 0 },
  macs: (node, _inputs, [output]) => productMacs(output, intAttribute(node, 'K')),
};

const matMulInteger: OpSpec['infer'] = (_node, [a = UNKNOWN, b = UNKNOWN]) => [
  { dataType: 'int32', shape: matMulShape(a.shape, b.shape) },
];

/** `MatMulIntegerToFloat` and `DynamicQuantizeMatMul` give float32. */
const floatMatMul: OpSpec['infer'] = (_node, [a = UNKNOWN, b = UNKNOWN]) => [
  { dataType: 'float32', shape: matMulShape(a.shape, b.shape) },
];

/** Matrix product operators. */
export const MATMUL: readonly OpSpec[] = [
  matMul,
  gemm,
  matMulNBits,
  ...specs(['MatMulInteger'], matMulInteger),
  ...specs(['MatMulIntegerToFloat', 'DynamicQuantizeMatMul'], floatMatMul, 'com.microsoft'),
];
