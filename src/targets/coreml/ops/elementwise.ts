/** Operators that work element by element. */
import { floatAttribute, intAttribute, stringAttribute } from '../../../ir/attributes.ts';
import { dataTypeFromCode, isFloatDataType } from '../../../ir/data-type.ts';
import type { Node } from '../../../ir/model.ts';
import { isOp } from '../../../passes/graph-view.ts';
import type { Ref } from '../builder.ts';
import { MASKED } from '../convert-constant.ts';
import {
  castTo,
  define,
  expanded,
  floatOf,
  type Lowering,
  type LowerNode,
  lowerTo,
  milTypeOf,
  NotLowered,
  read,
  shapeOf,
} from '../lowering.ts';

const unary =
  (type: string): LowerNode =>
  (lowering, node) =>
    lowerTo(lowering, node, type, { x: read(lowering, node.inputs[0]!, floatOf(lowering, node)) });

/** A scalar operand has rank 0, as MIL broadcasts it for nothing. */
function operands(lowering: Lowering, node: Node): readonly [Ref | number, Ref | number] {
  const [a = '', b = ''] = node.inputs;
  const one = (value: string): Ref | number => {
    const scalar = lowering.values.has(value) ? undefined : lowering.view.scalar(value);
    return scalar ?? numeric(lowering, read(lowering, value, floatOf(lowering, node)));
  };
  const [x, y] = [one(a), one(b)];
  return typeof x === 'number' && typeof y === 'number'
    ? [numeric(lowering, read(lowering, a)), y]
    : [x, y];
}

/** Comparisons and arithmetic take no bool. */
function numeric(lowering: Lowering, ref: Ref): Ref {
  return ref.type.dataType === 'bool' ? castTo(lowering, ref, 'int32') : ref;
}

const binary =
  (type: string): LowerNode =>
  (lowering, node) => {
    const [x, y] = operands(lowering, node);
    lowerTo(lowering, node, type, { x, y });
  };

const logical =
  (type: string): LowerNode =>
  (lowering, node) =>
    lowerTo(
      lowering,
      node,
      type,
      Object.fromEntries(
        node.inputs.map((name, index) => [
          index === 0 ? 'x' : 'y',
          castTo(lowering, read(lowering, name), 'bool'),
        ]),
      ),
    );

const variadic =
  (type: string): LowerNode =>
  (lowering, node) => {
    if (node.inputs.length !== 2)
      throw new NotLowered(`takes two inputs (got ${node.inputs.length})`);
    binary(type)(lowering, node);
  };

const lowerDiv: LowerNode = (lowering, node) => {
  if (!isFloatDataType(lowering.view.facts(node.inputs[0]!).dataType ?? 'int64'))
    throw new NotLowered('divides integers, which Core ML rounds otherwise');
  binary('real_div')(lowering, node);
};

const lowerPow: LowerNode = (lowering, node) => {
  const exponent = lowering.view.scalar(node.inputs[1]!);
  const x = read(lowering, node.inputs[0]!, floatOf(lowering, node));
  if (exponent === 2) return lowerTo(lowering, node, 'mul', { x, y: x });
  if (exponent === 0.5) return lowerTo(lowering, node, 'sqrt', { x });
  if (exponent === undefined) throw new NotLowered('has an exponent that is computed in a run');
  lowerTo(lowering, node, 'pow', { x, y: exponent });
};

const lowerCast: LowerNode = (lowering, node) => {
  const to = milTypeOf(dataTypeFromCode(intAttribute(node, 'to', 1)), floatOf(lowering, node));
  const x = read(lowering, node.inputs[0]!, floatOf(lowering, node));
  define(lowering, node, castTo(lowering, x, to));
};

const alias: LowerNode = (lowering, node) =>
  define(lowering, node, read(lowering, node.inputs[0]!, floatOf(lowering, node)));

/**
 * Where. A choice between two scalars is arithmetic, because Core ML would take it for a scalar; what masks
 * stays finite. A softmax under finite masks is never NaN, so a guard against it is left out.
 */
const lowerWhere: LowerNode = (lowering, node) => {
  const { view, builder } = lowering;
  const [test = '', a = '', b = ''] = node.inputs;
  const output = node.outputs[0] ?? '';
  if (isNanGuard(lowering, test, b)) return define(lowering, node, read(lowering, b));
  const [x, y] = [view.scalar(a), view.scalar(b)];
  const shape = shapeOf(lowering, output);
  const isFloat = isFloatDataType(view.facts(output).dataType ?? 'int64');
  if (x !== undefined && y !== undefined && isFloat) {
    const [on, off] = [finite(x), finite(y)];
    const float = floatOf(lowering, node);
    const cond = castTo(lowering, read(lowering, test), float);
    const scaled = builder.emit('mul', `${output}_scaled`, { x: cond, y: on - off });
    const sum = builder.emit('add', output, { x: scaled, y: off });
    return define(lowering, node, expanded(lowering, sum, shape, output));
  }
  const full = (name: string): Ref =>
    expanded(lowering, read(lowering, name, floatOf(lowering, node)), shape, `${output}_${name}`);
  lowerTo(lowering, node, 'select', { cond: full(test), a: full(a), b: full(b) });
};

function finite(value: number): number {
  return value <= -65504 ? MASKED : value;
}

function isNanGuard({ view }: Lowering, test: string, otherwise: string): boolean {
  const guard = view.producer(test);
  return (
    isOp(guard, 'IsNaN') &&
    view.origin(guard.inputs[0] ?? '') === view.origin(otherwise) &&
    isOp(view.source(otherwise), 'Softmax')
  );
}

const lowerGelu: LowerNode = (lowering, node) => {
  const isTanh = node.opType === 'FastGelu' || stringAttribute(node, 'approximate') === 'tanh';
  if (node.inputs.length > 1) throw new NotLowered('has a bias input');
  lowerTo(lowering, node, 'gelu', {
    x: read(lowering, node.inputs[0]!),
    mode: isTanh ? 'TANH_APPROXIMATION' : 'EXACT',
  });
};

const lowerClip: LowerNode = (lowering, node) => {
  const bound = (index: number, attribute: string, otherwise: number): number => {
    const name = node.inputs[index];
    const given =
      name === undefined || name === ''
        ? floatAttribute(node, attribute, otherwise)
        : lowering.view.scalar(name);
    if (given === undefined) throw new NotLowered('has bounds that are computed in a run');
    return given;
  };
  lowerTo(lowering, node, 'clip', {
    x: read(lowering, node.inputs[0]!),
    alpha: bound(1, 'min', -65504),
    beta: bound(2, 'max', 65504),
  });
};

/** Rows by ONNX operator. */
export const ELEMENTWISE: Readonly<Record<string, LowerNode>> = {
  Sqrt: unary('sqrt'),
  Exp: unary('exp'),
  Erf: unary('erf'),
  Tanh: unary('tanh'),
  Sigmoid: unary('sigmoid'),
  Relu: unary('relu'),
  Sin: unary('sin'),
  Cos: unary('cos'),
  Abs: unary('abs'),
  Floor: unary('floor'),
  Ceil: unary('ceil'),
  Neg: (lowering, node) =>
    lowerTo(lowering, node, 'mul', {
      x: read(lowering, node.inputs[0]!, floatOf(lowering, node)),
      y: -1,
    }),
  Reciprocal: (lowering, node) =>
    lowerTo(lowering, node, 'real_div', {
      x: 1,
      y: read(lowering, node.inputs[0]!, floatOf(lowering, node)),
    }),
  Add: binary('add'),
  Sub: binary('sub'),
  Mul: binary('mul'),
  Div: lowerDiv,
  Pow: lowerPow,
  Max: variadic('maximum'),
  Min: variadic('minimum'),
  Equal: binary('equal'),
  Less: binary('less'),
  LessOrEqual: binary('less_equal'),
  Greater: binary('greater'),
  GreaterOrEqual: binary('greater_equal'),
  And: logical('logical_and'),
  Or: logical('logical_or'),
  Not: logical('logical_not'),
  Cast: lowerCast,
  Identity: alias,
  Dropout: alias,
  Where: lowerWhere,
  Gelu: lowerGelu,
  FastGelu: lowerGelu,
  Clip: lowerClip,
};
