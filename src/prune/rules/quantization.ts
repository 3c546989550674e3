import { intAttribute } from '../../ir/attributes.ts';
import { canonicalDomain, type Node } from '../../ir/model.ts';
import { positiveAxis } from '../../ops/op-spec.ts';
import { type AxisRule, inputAt, type LabelledAxis, outputAt } from '../axis-rule.ts';

/** Scale and zero point: one number, one for each index of an axis, or one for a block along it. */
const affine: AxisRule = {
  opTypes: ['QuantizeLinear', 'DequantizeLinear'],
  domains: ['', 'com.microsoft'],
  follow(node, at, context) {
    const data = context.shape(inputAt(0));
    const scale = context.shape(inputAt(1));
    if (data === undefined || scale === undefined) return 'a shape is unknown';
    const axis = positiveAxis(intAttribute(node, 'axis', 1), data.length);
    const parameters = [1, 2].filter((index) => (node.inputs[index] ?? '') !== '').map(inputAt);
    const isParameter = at.side === 'input' && at.index > 0;
    const values = (on: number): LabelledAxis[] =>
      [inputAt(0), outputAt(0)].map((operand) => ({ ...operand, axis: on, units: at.units }));
    if (scale.length <= 1) {
      const perAxis = scale.length === 1 && scale[0] !== 1 && data[axis] !== 1;
      const onAxis = isParameter ? axis : at.axis;
      if (!perAxis || onAxis !== axis) return { axes: values(onAxis) };
      return {
        axes: [
          ...values(axis),
          ...parameters.map((operand) => ({ ...operand, axis: 0, units: at.units })),
        ],
      };
    }
    if (at.axis === axis) return 'blocks of channels share a scale';
    return {
      axes: [
        ...values(at.axis),
        ...parameters.map((operand) => ({ ...operand, axis: at.axis, units: at.units })),
      ],
    };
  },
};

/** Integer products, whose packed weights are cut from the float model instead. */
const integerProducts: AxisRule = {
  opTypes: [
    'MatMulNBits',
    'MatMulInteger',
    'MatMulIntegerToFloat',
    'DynamicQuantizeMatMul',
    'QLinearMatMul',
    'QGemm',
    'ConvInteger',
    'QLinearConv',
    'GatherBlockQuantized',
  ],
  domains: ['', 'com.microsoft'],
  follow: () => 'its weight is packed integers: prune the float model, then quantize',
};

/** Says whether a node multiplies by a weight of packed integers, which no group cuts. */
export function isPackedProduct(node: Node): boolean {
  const domains = integerProducts.domains ?? [];
  return (
    domains.includes(canonicalDomain(node.domain)) && integerProducts.opTypes.includes(node.opType)
  );
}

/** Quantizing operators. */
export const QUANTIZATION: readonly AxisRule[] = [affine, integerProducts];
