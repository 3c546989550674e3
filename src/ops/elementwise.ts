/** Ops that work element by element, with numpy broadcasting where they take several inputs. */
import type { DataType } from '../ir/data-type.ts';
import type { Dim } from '../ir/model.ts';
import { broadcastFacts } from './broadcast.ts';
import { addDims, divideDims, multiplyDims, subtractDims } from './dim.ts';
import { evaluated, type OpSpec, specs, UNKNOWN } from './op-spec.ts';
import { isIntegerType, roundToType } from './round-to-type.ts';

/** Ops whose output has the type and shape of the first input, and no use for its elements. */
const SAME_AS_FIRST: readonly string[] = [
  'Acos,Acosh,Asin,Asinh,Atan,Atanh,Bernoulli,Celu,Clip,Cos,Cosh,CumSum,Elu,Erf,Exp,Gelu',
  'HardSigmoid,HardSwish,Hardmax,LeakyRelu,Log,LogSoftmax,LpNormalization,MeanVarianceNormalization',
  'Mish,PRelu,Relu,Selu,Shrink,Sigmoid,Sin,Sinh,Softmax,Softplus,Softsign,Swish,Tan,Tanh',
  'ThresholdedRelu,Trilu,ScatterElements,Scatter,ScatterND,TensorScatter,BitShift,Round,Sign',
].flatMap((line) => line.split(','));

/** Unary ops with a value that is exact in every type: `Sqrt` and `Reciprocal` are correctly rounded. */
const UNARY: Readonly<Record<string, (x: number) => number>> = {
  Abs: Math.abs,
  Ceil: Math.ceil,
  Floor: Math.floor,
  Neg: (x) => -x,
  Reciprocal: (x) => 1 / x,
  Sqrt: Math.sqrt,
};

const PREDICATES: Readonly<Record<string, (x: number) => boolean>> = {
  Not: (x) => x === 0,
  IsNaN: Number.isNaN,
  IsInf: (x) => Math.abs(x) === Number.POSITIVE_INFINITY,
};

const COMPARISONS: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  Equal: (a, b) => a === b,
  Greater: (a, b) => a > b,
  GreaterOrEqual: (a, b) => a >= b,
  Less: (a, b) => a < b,
  LessOrEqual: (a, b) => a <= b,
  And: (a, b) => a !== 0 && b !== 0,
  Or: (a, b) => a !== 0 || b !== 0,
  Xor: (a, b) => (a !== 0) !== (b !== 0),
};

const VARIADIC: Readonly<Record<string, (a: number, b: number) => number>> = {
  Max: Math.max,
  Min: Math.min,
  Sum: (a, b) => a + b,
};

const identity: OpSpec['infer'] = (_node, [input]) => [input ?? UNKNOWN];

const sameAsFirst: OpSpec['infer'] = (_node, [input]) => [
  { dataType: input?.dataType, shape: input?.shape },
];

const unary: OpSpec['infer'] = (node, [input = UNKNOWN]) => {
  const { dataType, shape } = input;
  const operation = UNARY[node.opType];
  const elements = input.elements?.map((x) => {
    if (typeof x === 'number' && operation !== undefined)
      return roundToType(dataType, operation(x));
    return node.opType === 'Neg' ? subtractDims(0, x) : undefined;
  });
  return [evaluated(dataType, shape, elements)];
};

const predicate: OpSpec['infer'] = (node, [input = UNKNOWN]) => {
  const test = PREDICATES[node.opType];
  const elements = input.elements?.map((x) =>
    typeof x === 'number' && test !== undefined ? Number(test(x)) : undefined,
  );
  return [evaluated('bool', input.shape, elements)];
};

const arithmetic: OpSpec['infer'] = (node, inputs) => {
  const [a = UNKNOWN, b = UNKNOWN] = inputs;
  const dataType = a.dataType ?? (node.opType === 'Pow' ? undefined : b.dataType);
  return [
    broadcastFacts(dataType, [a, b], (x, y) => arithmeticElement(node.opType, dataType, x, y)),
  ];
};

function arithmeticElement(opType: string, dataType: DataType | undefined, x: Dim, y: Dim): Dim {
  const integer = isIntegerType(dataType);
  const numeric = typeof x === 'number' && typeof y === 'number';
  if (!integer && !numeric) return undefined;
  switch (opType) {
    case 'Add':
      return numeric ? roundToType(dataType, x + y) : addDims(x, y);
    case 'Sub':
      return numeric ? roundToType(dataType, x - y) : subtractDims(x, y);
    case 'Mul':
      return numeric ? roundToType(dataType, x * y) : multiplyDims(x, y);
    case 'Div':
      if (!numeric) return divideDims(x, y);
      if (integer) return y === 0 ? undefined : Math.trunc(x / y);
      return roundToType(dataType, x / y);
    default:
      return undefined;
  }
}

/** Integer `Mod` follows the sign of the divisor (Python) unless `fmod` asks for C's. */
const modulo: OpSpec['infer'] = (node, [a = UNKNOWN, b = UNKNOWN]) => {
  const fmod = node.attributes.get('fmod');
  const c = fmod?.kind === 'int' && fmod.value === 1n;
  return [
    broadcastFacts(a.dataType, [a, b], (x, y) => {
      if (typeof x !== 'number' || typeof y !== 'number' || y === 0) return undefined;
      if (!isIntegerType(a.dataType)) return undefined;
      return c ? x % y : ((x % y) + y) % y;
    }),
  ];
};

const comparison: OpSpec['infer'] = (node, [a = UNKNOWN, b = UNKNOWN]) => [
  broadcastFacts('bool', [a, b], (x, y) => {
    if (typeof x === 'number' && typeof y === 'number') {
      const compare = COMPARISONS[node.opType];
      return compare === undefined ? undefined : Number(compare(x, y));
    }
    return compareSymbols(node.opType, x, y);
  }),
];

/**
 * Dimensions and their sums are not negative, so `Equal(symbol, -1)`, the test that `expand` makes,
 * has a known answer.
 */
function compareSymbols(opType: string, x: Dim, y: Dim): Dim {
  if (opType !== 'Equal' || x === undefined || y === undefined) return undefined;
  if (x === y) return 1;
  const [number, symbol] = typeof x === 'number' ? [x, y] : [y, x];
  const differs = typeof number === 'number' && number < 0 && !String(symbol).includes('-');
  return differs ? 0 : undefined;
}

const variadic: OpSpec['infer'] = (node, inputs) => {
  const dataType = inputs.find((input) => input.dataType !== undefined)?.dataType;
  const operation = VARIADIC[node.opType];
  return [
    broadcastFacts(dataType, inputs, (...elements) => {
      if (new Set(elements).size === 1 && node.opType !== 'Sum') return elements[0];
      return elements.reduce((a, b) =>
        typeof a === 'number' && typeof b === 'number' && operation !== undefined
          ? roundToType(dataType, operation(a, b))
          : undefined,
      );
    }),
  ];
};

const where: OpSpec['infer'] = (_node, [condition = UNKNOWN, a = UNKNOWN, b = UNKNOWN]) => [
  broadcastFacts(a.dataType ?? b.dataType, [condition, a, b], (test, x, y) => {
    if (typeof test === 'number') return test !== 0 ? x : y;
    return x === y ? x : undefined;
  }),
];

const dropout: OpSpec['infer'] = (_node, [input = UNKNOWN]) => [
  input,
  { dataType: 'bool', shape: input.shape },
];

/** Elementwise operators. */
export const ELEMENTWISE: readonly OpSpec[] = [
  ...specs(['Identity'], identity),
  ...specs(['Dropout'], dropout),
  ...specs(SAME_AS_FIRST, sameAsFirst),
  ...specs(['FastGelu', 'BiasGelu', 'QuickGelu', 'Gelu'], sameAsFirst, 'com.microsoft'),
  ...specs(Object.keys(UNARY), unary),
  ...specs(Object.keys(PREDICATES), predicate),
  ...specs(['Add', 'Sub', 'Mul', 'Div', 'Pow'], arithmetic),
  ...specs(['BitwiseAnd', 'BitwiseOr', 'BitwiseXor', 'BitwiseNot'], arithmetic),
  ...specs(['Mod'], modulo),
  ...specs(Object.keys(COMPARISONS), comparison),
  ...specs([...Object.keys(VARIADIC), 'Mean'], variadic),
  ...specs(['Where'], where),
];
