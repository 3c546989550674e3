/** Activation functions. */
import { floatAttribute, intAttribute, stringAttribute } from '../../../ir/attributes.ts';
import type { Node } from '../../../ir/model.ts';
import { emit, kindOfValue, type Lowering, type LowerNode, refuseNode } from '../lowering.ts';
import { binary, unary } from './elementwise.ts';

function first(node: Node): string {
  return node.outputs[0] ?? '';
}

const relu: LowerNode = (lowering, node) => {
  const [input = ''] = node.inputs;
  if (kindOfValue(lowering, input) !== 'float')
    refuseNode(node, 'its input is of integers', 'Cast it to float in the model.');
  const slope = node.opType === 'LeakyRelu' ? floatAttribute(node, 'alpha', 0.01) : 0;
  emit(lowering, 'ReLU', [lowering.read(input)], first(node), { kind: 'Relu', value: { slope } });
};

/** Adds `0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`: MNN's own form ends its tanh at +-5. */
function geluTanh(lowering: Lowering, x: string, output: string): string {
  const constant = (value: number): string => lowering.floatsOf([value], []);
  const cube = binary(lowering, 'mul', [unary(lowering, 'square', x), x]);
  const term = binary(lowering, 'mul', [cube, constant(0.044715)]);
  const inner = binary(lowering, 'add', [x, term]);
  const scaled = binary(lowering, 'mul', [inner, constant(Math.sqrt(2 / Math.PI))]);
  const sum = binary(lowering, 'add', [unary(lowering, 'tanh', scaled), constant(1)]);
  const half = binary(lowering, 'mul', [x, constant(0.5)]);
  return binary(lowering, 'mul', [half, sum], output);
}

/** Adds `x * sigmoid(alpha x)`. */
function sigmoidProduct(lowering: Lowering, x: string, alpha: number, output: string): void {
  if (alpha === 1) {
    unary(lowering, 'silu', x, output);
    return;
  }
  const scaled = binary(lowering, 'mul', [x, lowering.floatsOf([alpha], [])]);
  binary(lowering, 'mul', [x, unary(lowering, 'sigmoid', scaled)], output);
}

/** A factor that differs from 1 by no more is the rounding of float32. */
const EXACT = 1.5e-7;

/** Adds `0.5 x (1 + erf(factor x / sqrt(2)))`: the gelu of `factor x`, divided by the factor. */
export function gelu(lowering: Lowering, x: string, factor: number, output: string): void {
  if (Math.abs(factor - 1) <= EXACT) {
    unary(lowering, 'geluStandard', x, output);
    return;
  }
  const scaled = binary(lowering, 'mul', [x, lowering.floatsOf([factor], [])]);
  const made = unary(lowering, 'geluStandard', scaled);
  binary(lowering, 'mul', [made, lowering.floatsOf([1 / factor], [])], output);
}

const geluNode: LowerNode = (lowering, node) => {
  const [input = '', bias = ''] = node.inputs;
  const read = lowering.read(input);
  const x = bias === '' ? read : binary(lowering, 'add', [read, lowering.read(bias)]);
  const isTanh = node.opType === 'FastGelu' || stringAttribute(node, 'approximate') === 'tanh';
  if (isTanh) geluTanh(lowering, x, first(node));
  else unary(lowering, 'geluStandard', x, first(node));
};

const swish: LowerNode = (lowering, node) => {
  const fallback = node.opType === 'QuickGelu' ? 1.702 : 1;
  const alpha = floatAttribute(node, 'alpha', fallback);
  sigmoidProduct(lowering, lowering.read(node.inputs[0] ?? ''), alpha, first(node));
};

const softplus: LowerNode = (lowering, node) => {
  // log(1 + e^x) = max(x, 0) + log(1 + e^-|x|), which overflows nowhere.
  const x = lowering.read(node.inputs[0] ?? '');
  const zero = lowering.floatsOf([0], []);
  const decay = unary(lowering, 'exp', unary(lowering, 'neg', unary(lowering, 'abs', x)));
  const log = unary(lowering, 'log', binary(lowering, 'add', [decay, lowering.floatsOf([1], [])]));
  binary(lowering, 'add', [binary(lowering, 'maximum', [x, zero]), log], first(node));
};

const softmax: LowerNode = (lowering, node) => {
  const axis = intAttribute(node, 'axis', -1);
  const input = lowering.read(node.inputs[0] ?? '');
  const isLog = node.opType === 'LogSoftmax';
  const output = isLog ? lowering.fresh(`${first(node)}_softmax`) : first(node);
  const made = emit(lowering, 'Softmax', [input], output, { kind: 'Axis', value: { axis } });
  if (isLog) unary(lowering, 'log', made, first(node));
};

/** Activation rows by op type. */
export const ACTIVATIONS: Readonly<Record<string, LowerNode>> = {
  Gelu: geluNode,
  LeakyRelu: relu,
  LogSoftmax: softmax,
  Relu: relu,
  Softmax: softmax,
  Softplus: softplus,
  Swish: swish,
  'com.microsoft.BiasGelu': geluNode,
  'com.microsoft.FastGelu': geluNode,
  'com.microsoft.Gelu': geluNode,
  'com.microsoft.QuickGelu': swish,
};
