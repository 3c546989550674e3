import type { Node } from '../../ir/model.ts';
import {
  type AxisRule,
  type LabelledAxis,
  operandsOf,
  type RuleContext,
  type Spread,
} from '../axis-rule.ts';

/** Returns the same axis, counted from the end, of all operands that have it at that size. */
export function followBroadcast(
  node: Node,
  at: LabelledAxis,
  context: RuleContext,
): Spread | string {
  const shape = context.shape(at);
  if (shape === undefined) return 'the shape is unknown';
  const fromEnd = shape.length - at.axis;
  const size = shape[at.axis];
  const axes: LabelledAxis[] = [];
  for (const operand of operandsOf(node)) {
    const dims = context.shape(operand);
    if (dims === undefined) return 'the shape of an operand is unknown';
    const dim = dims[dims.length - fromEnd];
    // Shorter operands and axes of 1 are repeated over all units.
    if (dims.length < fromEnd || dim === 1) continue;
    if (dim === undefined || dim !== size)
      return `it broadcasts an axis of ${dim ?? 'unknown size'} against ${size}`;
    axes.push({ ...operand, axis: dims.length - fromEnd, units: at.units });
  }
  return { axes };
}

const POINTWISE = [
  'Abs',
  'Acos',
  'Acosh',
  'Add',
  'And',
  'Asin',
  'Asinh',
  'Atan',
  'Atanh',
  'BitShift',
  'BitwiseAnd',
  'BitwiseNot',
  'BitwiseOr',
  'Cast',
  'Ceil',
  'Celu',
  'Clip',
  'Cos',
  'Cosh',
  'Div',
  'Elu',
  'Equal',
  'Erf',
  'Exp',
  'Floor',
  'Gelu',
  'Greater',
  'GreaterOrEqual',
  'HardSigmoid',
  'HardSwish',
  'Identity',
  'IsInf',
  'IsNaN',
  'LeakyRelu',
  'Less',
  'LessOrEqual',
  'Log',
  'Max',
  'Mean',
  'Min',
  'Mish',
  'Mod',
  'Mul',
  'Neg',
  'Not',
  'Or',
  'PRelu',
  'Pow',
  'Reciprocal',
  'Relu',
  'Round',
  'Selu',
  'Shrink',
  'Sigmoid',
  'Sign',
  'Sin',
  'Sinh',
  'Softplus',
  'Softsign',
  'Sqrt',
  'Sub',
  'Sum',
  'Swish',
  'Tan',
  'Tanh',
  'ThresholdedRelu',
  'Where',
  'Xor',
];

/** Operators that compute each element by itself, broadcasting as numpy does. */
export const pointwise: AxisRule = { opTypes: POINTWISE, follow: followBroadcast };

/** onnxruntime's own activations; a bias is a vector along the last axis. */
export const contribActivations: AxisRule = {
  opTypes: ['Gelu', 'FastGelu', 'QuickGelu', 'BiasGelu'],
  domains: ['com.microsoft'],
  follow: followBroadcast,
};

/** Dropout does nothing when a model runs; its ratio and mode are scalars. */
export const dropout: AxisRule = { opTypes: ['Dropout'], follow: followBroadcast };

/** CastLike takes its numbers from the first operand; the second gives a type, whatever its axes are. */
export const castLike: AxisRule = {
  opTypes: ['CastLike'],
  follow(_, at) {
    const axes: LabelledAxis[] = [at];
    if (at.side === 'input' && at.index === 1) return { axes };
    const side = at.side === 'input' ? 'output' : 'input';
    return { axes: [...axes, { ...at, side, index: 0 }] };
  },
};
