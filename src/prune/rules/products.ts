import { intAttribute } from '../../ir/attributes.ts';
import { canonicalDomain, type Node } from '../../ir/model.ts';
import {
  type AxisRule,
  inputAt,
  type LabelledAxis,
  type Operand,
  outputAt,
  type RuleContext,
  type Spread,
} from '../axis-rule.ts';

const OUTPUT = outputAt(0);

/** Which axis of each operand of a product is which; `undefined` where the operand lacks it. */
interface ProductAxes {
  /** Summed over: axes of inputs 0 and 1. */
  readonly depth: readonly [number, number];
  /** Rows of input 0 in the output, columns of input 1 in the output. */
  readonly rows?: readonly [number, number];
  readonly columns?: readonly [number, number];
}

const matMul: AxisRule = {
  opTypes: ['MatMul'],
  follow(_node, at, context) {
    const ranks = [inputAt(0), inputAt(1), OUTPUT].map((operand) => context.shape(operand)?.length);
    const [a, b, out] = ranks;
    if (a === undefined || b === undefined || out === undefined) return 'a shape is unknown';
    if (a < 2 || b < 2) return 'a product with a vector';
    const rank = context.shape(at)?.length ?? 0;
    if (at.axis < rank - 2) return followBatch(at, context);
    return followMatrix(at, context, {
      depth: [a - 1, b - 2],
      rows: [a - 2, out - 2],
      columns: [b - 1, out - 1],
    });
  },
};

/** Batches broadcast; a head axis of one product of activations is that of all. */
function followBatch(at: LabelledAxis, context: RuleContext): Spread | string {
  const fromEnd = (context.shape(at)?.length ?? 0) - at.axis;
  const size = context.shape(at)?.[at.axis];
  const axes: LabelledAxis[] = [];
  for (const operand of [inputAt(0), inputAt(1), OUTPUT]) {
    const dims = context.shape(operand) ?? [];
    const dim = dims[dims.length - fromEnd];
    if (dims.length < fromEnd || dim === 1) continue;
    if (dim !== size) return `it broadcasts an axis of ${dim ?? 'unknown size'} against ${size}`;
    axes.push({ ...operand, axis: dims.length - fromEnd, units: at.units });
  }
  const ofActivations = !context.isConstant(0) && !context.isConstant(1);
  return { axes, ...(ofActivations && { kind: 'heads' as const }) };
}

function followMatrix(at: LabelledAxis, context: RuleContext, axes: ProductAxes): Spread | string {
  const { depth, rows, columns } = axes;
  const isAt = (operand: Operand, axis: number | undefined): boolean =>
    at.side === operand.side && at.index === operand.index && at.axis === axis;
  const pair = (first: Operand, second: Operand, [a, b]: readonly [number, number]): Spread => ({
    axes: [
      { ...first, axis: a, units: at.units },
      { ...second, axis: b, units: at.units },
    ],
  });
  if (isAt(inputAt(0), depth[0]) || isAt(inputAt(1), depth[1])) {
    const spread = pair(inputAt(0), inputAt(1), depth);
    const weight = context.isConstant(1) ? 1 : 0;
    if (weight === 0 && !context.isConstant(0))
      return 'it sums two activations over these channels';
    const data = 1 - weight;
    const consumes = { data, dataAxis: depth[data]!, weight, weightAxis: depth[weight]! };
    return { ...spread, consumes };
  }
  if (rows !== undefined && (isAt(inputAt(0), rows[0]) || isAt(OUTPUT, rows[1]))) {
    return pair(inputAt(0), OUTPUT, rows);
  }
  if (columns === undefined) return 'an axis that is not followed';
  if (!context.isConstant(1) && !context.isConstant(0)) return 'the channels lie inside a head';
  return pair(inputAt(1), OUTPUT, columns);
}

/** `alpha * A B + beta * C`, C broadcast over rows, columns or both. */
const gemm: AxisRule = {
  opTypes: ['Gemm'],
  follow(node, at, context) {
    const a = intAttribute(node, 'transA', 0) === 1 ? 0 : 1;
    const b = intAttribute(node, 'transB', 0) === 1 ? 1 : 0;
    const axes: ProductAxes = { depth: [a, b], rows: [1 - a, 0], columns: [1 - b, 1] };
    const bias = (node.inputs[2] ?? '') === '' ? [] : context.shape(inputAt(2));
    if (bias === undefined) return 'the shape of the bias is unknown';
    const isBias = at.side === 'input' && at.index === 2;
    // Axes of the bias are counted from the end.
    const product = isBias ? { ...at, ...OUTPUT, axis: at.axis + 2 - bias.length } : at;
    const spread = followMatrix(product, context, axes);
    if (typeof spread === 'string') return spread;
    const made = spread.axes.find(({ side }) => side === 'output')?.axis;
    const onBias = made === undefined ? -1 : made - 2 + bias.length;
    if (made === undefined || onBias < 0 || bias[onBias] === 1) return spread;
    const size =
      made === 0 ? context.shape(inputAt(0))?.[1 - a] : context.shape(inputAt(1))?.[1 - b];
    if (size === undefined || bias[onBias] !== size)
      return `it broadcasts a bias of ${bias[onBias] ?? 'unknown size'} over ${size ?? 'an unknown size'}`;
    return { ...spread, axes: [...spread.axes, { ...inputAt(2), axis: onBias, units: at.units }] };
  },
};

const conv: AxisRule = {
  opTypes: ['Conv'],
  follow(node, at, context) {
    const group = intAttribute(node, 'group', 1);
    const weight = context.shape(inputAt(1));
    if (weight === undefined) return 'the shape of the weight is unknown';
    if (!context.isConstant(1)) return 'the filter is computed';
    const filters: readonly LabelledAxis[] = [
      { ...inputAt(1), axis: 0, units: at.units },
      { ...OUTPUT, axis: 1, units: at.units },
      ...((node.inputs[2] ?? '') === '' ? [] : [{ ...inputAt(2), axis: 0, units: at.units }]),
    ];
    const isWeight = at.side === 'input' && at.index === 1;
    const onData = at.side === 'output' || at.index === 0;
    if (at.axis > 1 || (at.axis === 0 && onData)) {
      return 'an axis that a filter slides over';
    }
    const onInput = at.side === 'input' && at.index === 0;
    if (group === 1) {
      if (!onInput && !(isWeight && at.axis === 1)) return { axes: filters, kind: 'channels' };
      const axes = [inputAt(0), inputAt(1)].map((operand) => ({
        ...operand,
        axis: 1,
        units: at.units,
      }));
      return {
        axes,
        consumes: { data: 0, dataAxis: 1, weight: 1, weightAxis: 1 },
        kind: 'channels',
      };
    }
    if (group !== weight[0] || weight[1] !== 1) return `a convolution of ${group} groups`;
    if (isWeight && at.axis === 1) return 'an axis of one channel';
    return { axes: [...filters, { ...inputAt(0), axis: 1, units: at.units }], kind: 'channels' };
  },
  resize(node, context) {
    const width = context.shapeAfter(inputAt(0))?.[1];
    if (intAttribute(node, 'group', 1) === 1 || typeof width !== 'number') return undefined;
    if (context.kept(inputAt(0), 1) === undefined) return undefined;
    return {
      attributes: new Map([['group', { name: 'group', kind: 'int', value: BigInt(width) }]]),
    };
  },
};

/** Products with weights and of activations. */
export const PRODUCTS: readonly AxisRule[] = [matMul, gemm, conv];

/** Says which of the nodes that consume channels a node is: those whose weight a group may cut along its inputs. */
export function isProduct(node: Node): boolean {
  return (
    canonicalDomain(node.domain) === '' &&
    PRODUCTS.some(({ opTypes }) => opTypes.includes(node.opType))
  );
}
