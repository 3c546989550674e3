/** Ops that work element by element. */
import { BINARY, DATA_TYPE, UNARY } from '../../../formats/mnn/enums.ts';
import { intAttribute } from '../../../ir/attributes.ts';
import { dataTypeFromCode } from '../../../ir/data-type.ts';
import type { Node } from '../../../ir/model.ts';
import { scalarOf } from '../../../ops/op-spec.ts';
import {
  emit,
  type Kind,
  kindOf,
  kindOfValue,
  type Lowering,
  type LowerNode,
  OTHER_TARGET,
  refuseNode,
} from '../lowering.ts';

/** Adds a unary op on floats. */
export function unary(
  lowering: Lowering,
  operation: keyof typeof UNARY,
  input: string,
  output: string = lowering.fresh(`${input}_${operation}`),
): string {
  return emit(lowering, 'UnaryOp', [input], output, {
    kind: 'UnaryOp',
    value: { opType: UNARY[operation], T: DATA_TYPE.float },
  });
}

/** Adds a binary op; operands broadcast as in numpy. */
export function binary(
  lowering: Lowering,
  operation: keyof typeof BINARY,
  [a, b]: readonly [string, string],
  output: string = lowering.fresh(`${a}_${operation}`),
  kind: Kind = 'float',
): string {
  const T = kind === 'float' ? DATA_TYPE.float : DATA_TYPE.int32;
  return emit(lowering, 'BinaryOp', [a, b], output, {
    kind: 'BinaryOp',
    value: { opType: BINARY[operation], T },
  });
}

/** Adds a conversion between floats and integers, towards zero. */
function cast(
  lowering: Lowering,
  input: string,
  to: Kind,
  output: string = lowering.fresh(`${input}_${to}`),
): string {
  const dstT = to === 'float' ? DATA_TYPE.float : DATA_TYPE.int32;
  const srcT = to === 'float' ? DATA_TYPE.int32 : DATA_TYPE.float;
  return emit(lowering, 'Cast', [input], output, { kind: 'CastParam', value: { srcT, dstT } });
}

function first(node: Node): string {
  return node.outputs[0] ?? '';
}

function unaryRow(operation: keyof typeof UNARY): LowerNode {
  return (lowering, node) => {
    const [input = ''] = node.inputs;
    if (kindOfValue(lowering, input) !== 'float') refuseInteger(node);
    unary(lowering, operation, lowering.read(input), first(node));
  };
}

function refuseInteger(node: Node): never {
  return refuseNode(node, 'its input is of integers', 'Cast it to float in the model.');
}

/** Ops that MNN has for integers as well: by what they are made of. */
const negative: LowerNode = (lowering, node) => {
  const [input = ''] = node.inputs;
  const read = lowering.read(input);
  if (kindOfValue(lowering, input) === 'float') unary(lowering, 'neg', read, first(node));
  else binary(lowering, 'sub', [lowering.ints([0], []), read], first(node), 'int');
};

const absolute: LowerNode = (lowering, node) => {
  const [input = ''] = node.inputs;
  const read = lowering.read(input);
  if (kindOfValue(lowering, input) === 'float') {
    unary(lowering, 'abs', read, first(node));
    return;
  }
  const opposite = binary(lowering, 'sub', [lowering.ints([0], []), read], undefined, 'int');
  binary(lowering, 'maximum', [read, opposite], first(node), 'int');
};

function binaryRow(operation: keyof typeof BINARY): LowerNode {
  return (lowering, node) => {
    const [a = '', b = ''] = node.inputs;
    const kind = kindOfValue(lowering, a);
    binary(lowering, operation, [lowering.read(a), lowering.read(b)], first(node), kind);
  };
}

/** `a / b` of integers ends at the integer towards zero; of sizes and positions both are not negative. */
const divide: LowerNode = (lowering, node) => {
  const [a = '', b = ''] = node.inputs;
  const operands = [lowering.read(a), lowering.read(b)] as const;
  if (kindOfValue(lowering, a) === 'float') {
    binary(lowering, 'realDiv', operands, first(node));
    return;
  }
  const isNatural = [a, b].every((name) => isNotNegative(lowering, name));
  if (!isNatural) {
    refuseNode(node, 'integers that may be negative', 'Divide floats and cast in the model.');
  }
  binary(lowering, 'floorDiv', operands, first(node), 'int');
};

function isNotNegative({ facts }: Lowering, value: string): boolean {
  const elements = facts(value).elements;
  return (
    elements?.every((dim) => (typeof dim === 'number' ? dim >= 0 : dim !== undefined)) ?? false
  );
}

/** `Pow` by the exponents that exporters write; others by MNN's own. */
const power: LowerNode = (lowering, node) => {
  const [base = '', exponent = ''] = node.inputs;
  if (kindOfValue(lowering, base) !== 'float') refuseInteger(node);
  const read = lowering.read(base);
  const known = scalarOf(lowering.facts(exponent));
  const rank = lowering.facts(exponent).shape?.length ?? 0;
  const keepsShape = rank <= (lowering.facts(base).shape?.length ?? 0);
  if (keepsShape && known === 2) unary(lowering, 'square', read, first(node));
  else if (keepsShape && known === 0.5) unary(lowering, 'sqrt', read, first(node));
  else if (keepsShape && known === -0.5) unary(lowering, 'rsqrt', read, first(node));
  else if (keepsShape && known === 3) {
    binary(lowering, 'mul', [unary(lowering, 'square', read), read], first(node));
  } else {
    const kind = kindOfValue(lowering, exponent);
    const float =
      kind === 'float' ? lowering.read(exponent) : cast(lowering, lowering.read(exponent), 'float');
    binary(lowering, 'pow', [read, float], first(node));
  }
};

const modulo: LowerNode = (lowering, node) => {
  const [a = '', b = ''] = node.inputs;
  const kind = kindOfValue(lowering, a);
  const isC = intAttribute(node, 'fmod', 0) === 1;
  if (isC || kind === 'float') {
    refuseNode(
      node,
      'a remainder with the sign of the dividend',
      'Write it by Div, Floor and Sub.',
    );
  }
  binary(lowering, 'floorMod', [lowering.read(a), lowering.read(b)], first(node), 'int');
};

/** Max, Min and Sum take any number of operands. */
function variadicRow(operation: keyof typeof BINARY): LowerNode {
  return (lowering, node) => {
    const [start = '', ...others] = node.inputs;
    const kind = kindOfValue(lowering, start);
    if (others.length === 0) {
      lowering.alias(first(node), lowering.read(start));
      return;
    }
    others.reduce((sum, name, index) => {
      const output = index === others.length - 1 ? first(node) : undefined;
      return binary(lowering, operation, [sum, lowering.read(name)], output, kind);
    }, lowering.read(start));
  };
}

const not: LowerNode = (lowering, node) => {
  const input = lowering.read(node.inputs[0] ?? '');
  binary(lowering, 'equal', [input, lowering.ints([0], [])], first(node), 'int');
};

/** Truth values are 0 and 1. */
const notANumber: LowerNode = (lowering, node) => {
  const input = lowering.read(node.inputs[0] ?? '');
  binary(lowering, 'notEqual', [input, input], first(node));
};

const where: LowerNode = (lowering, node) => {
  const inputs = node.inputs.map((name) => lowering.read(name));
  emit(lowering, 'Select', inputs, first(node));
};

/** bool, int32 and int64 are one type in MNN, and so are all floats. */
const convert: LowerNode = (lowering, node) => {
  const [input = ''] = node.inputs;
  const wanted = dataTypeFromCode(intAttribute(node, 'to', 0));
  const [from, to] = [kindOfValue(lowering, input), kindOf(wanted, `node ${node.name}`)];
  const read = lowering.read(input);
  if (wanted === 'bool' && lowering.facts(input).dataType !== 'bool') {
    const zero = from === 'float' ? lowering.floatsOf([0], []) : lowering.ints([0], []);
    binary(lowering, 'notEqual', [read, zero], first(node), from);
  } else if (from === to) lowering.alias(first(node), read);
  else cast(lowering, read, to, first(node));
};

const same: LowerNode = (lowering, node) => {
  lowering.alias(first(node), lowering.read(node.inputs[0] ?? ''));
};

const clip: LowerNode = (lowering, node) => {
  const [input = '', low = '', high = ''] = node.inputs;
  const kind = kindOfValue(lowering, input);
  const bounds = [low, high].filter((name) => name !== '');
  let at = lowering.read(input);
  bounds.forEach((name, index) => {
    const output = index === bounds.length - 1 ? first(node) : undefined;
    const operation = name === low ? 'maximum' : 'minimum';
    at = binary(lowering, operation, [at, lowering.read(name)], output, kind);
  });
  if (bounds.length === 0) lowering.alias(first(node), at);
};

/** Rounding to even: MNN rounds halves away from zero. */
const round: LowerNode = (_lowering, node) =>
  refuseNode(node, 'halves are rounded another way', OTHER_TARGET);

/** Elementwise rows by op type. */
export const ELEMENTWISE: Readonly<Record<string, LowerNode>> = {
  Abs: absolute,
  Acos: unaryRow('acos'),
  Acosh: unaryRow('acosh'),
  Add: binaryRow('add'),
  And: binaryRow('mul'),
  Asin: unaryRow('asin'),
  Asinh: unaryRow('asinh'),
  Atan: unaryRow('atan'),
  Atanh: unaryRow('atanh'),
  Cast: convert,
  Ceil: unaryRow('ceil'),
  Clip: clip,
  Cos: unaryRow('cos'),
  Cosh: unaryRow('cosh'),
  Div: divide,
  Dropout: same,
  Equal: binaryRow('equal'),
  Erf: unaryRow('erf'),
  Exp: unaryRow('exp'),
  Floor: unaryRow('floor'),
  Greater: binaryRow('greater'),
  GreaterOrEqual: binaryRow('greaterEqual'),
  Identity: same,
  IsNaN: notANumber,
  Less: binaryRow('less'),
  LessOrEqual: binaryRow('lessEqual'),
  Log: unaryRow('log'),
  Max: variadicRow('maximum'),
  Min: variadicRow('minimum'),
  Mod: modulo,
  Mul: binaryRow('mul'),
  Neg: negative,
  Not: not,
  Or: binaryRow('logicalOr'),
  Pow: power,
  Reciprocal: unaryRow('reciprocal'),
  Round: round,
  Sigmoid: unaryRow('sigmoid'),
  Sign: unaryRow('sign'),
  Sin: unaryRow('sin'),
  Sinh: unaryRow('sinh'),
  Sqrt: unaryRow('sqrt'),
  Sub: binaryRow('sub'),
  Sum: variadicRow('add'),
  Tan: unaryRow('tan'),
  Tanh: unaryRow('tanh'),
  Where: where,
  Xor: binaryRow('notEqual'),
};
