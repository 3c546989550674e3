import { floatAttribute, stringAttribute } from '../ir/attributes.ts';
import type { Model, Node } from '../ir/model.ts';
import { findReader, type GraphView, isOp, otherOperand, viewGraph } from '../passes/graph-view.ts';

/** Names of activation functions as Hugging Face configs write them, tanh and quick forms apart. */
export type ActivationKind = 'silu' | 'gelu' | 'gelu-tanh' | 'quick-gelu' | 'relu';

/** An activation function found in the main graph, whatever ops spell it. */
export interface Activation {
  readonly kind: ActivationKind;
  readonly form: 'operator' | 'decomposed';
  readonly nodes: readonly Node[];
  readonly input: string;
  readonly output: string;
}

/** Returns the activations of the main graph, in node order. */
export function findActivations(model: Model): readonly Activation[] {
  return collectActivations(viewGraph(model));
}

/** Returns the activations of a graph that is already indexed. */
export function collectActivations(view: GraphView): readonly Activation[] {
  const found: Activation[] = [];
  for (const node of view.graph.nodes) {
    const activation = operatorActivation(node) ?? sigmoidForm(view, node) ?? geluForm(view, node);
    if (activation !== undefined) found.push(activation);
  }
  return found;
}

function operatorActivation(node: Node): Activation | undefined {
  const kind = operatorKind(node);
  if (kind === undefined) return undefined;
  const [input = ''] = node.inputs;
  return { kind, form: 'operator', nodes: [node], input, output: node.outputs[0] ?? '' };
}

function operatorKind(node: Node): ActivationKind | undefined {
  if (isOp(node, 'Relu')) return 'relu';
  if (isOp(node, 'FastGelu')) return 'gelu-tanh';
  if (isOp(node, 'BiasGelu')) return 'gelu';
  if (isOp(node, 'Gelu'))
    return stringAttribute(node, 'approximate') === 'tanh' ? 'gelu-tanh' : 'gelu';
  if (isOp(node, 'Swish', 'QuickGelu')) {
    const fallback = node.opType === 'Swish' ? 1 : 1.702;
    return floatAttribute(node, 'alpha', fallback) === 1 ? 'silu' : 'quick-gelu';
  }
  return undefined;
}

/** `x * Sigmoid(x)`, or `x * Sigmoid(1.702 x)`. */
function sigmoidForm(view: GraphView, sigmoid: Node): Activation | undefined {
  if (!isOp(sigmoid, 'Sigmoid')) return undefined;
  const inner = view.origin(sigmoid.inputs[0] ?? '');
  for (const { node } of view.readers(sigmoid.outputs[0] ?? '')) {
    if (!isOp(node, 'Mul')) continue;
    const other = otherOperand(view, node, view.origin(sigmoid.outputs[0] ?? ''));
    if (other === undefined) continue;
    const output = node.outputs[0] ?? '';
    if (view.origin(other) === inner) {
      return { kind: 'silu', form: 'decomposed', nodes: [sigmoid, node], input: inner, output };
    }
    const scale = view.producer(inner);
    if (
      isOp(scale, 'Mul') &&
      scale.inputs.some((name) => view.origin(name) === view.origin(other))
    ) {
      const nodes = [scale, sigmoid, node];
      return { kind: 'quick-gelu', form: 'decomposed', nodes, input: view.origin(other), output };
    }
  }
  return undefined;
}

/**
 * `0.5 * x * (1 + f(x))` with the factors in any order: f is Erf of x / sqrt(2), or Tanh of a cubic.
 * From `1 + f` the products are followed until both 0.5 and x have been seen.
 */
function geluForm(view: GraphView, inner: Node): Activation | undefined {
  if (!isOp(inner, 'Erf', 'Tanh')) return undefined;
  const add = findReader(view, inner.outputs[0], 'Add');
  if (add === undefined || !add.inputs.some((name) => view.scalar(name) === 1)) return undefined;
  const input = geluInput(view, inner);
  if (input === undefined) return undefined;
  const nodes: Node[] = [inner, add];
  let value = add.outputs[0] ?? '';
  let half = false;
  let times = false;
  for (let step = 0; step < 2 && !(half && times); step++) {
    const product = findReader(view, value, 'Mul');
    const other = product && otherOperand(view, product, view.origin(value));
    if (product === undefined || other === undefined) return undefined;
    const [byHalf, byInput] = [view.scalar(other) === 0.5, view.origin(other) === input];
    const halfInput = isHalfOf(view, other, input);
    if (!byHalf && !byInput && !halfInput) return undefined;
    half ||= byHalf || halfInput;
    times ||= byInput || halfInput;
    nodes.push(product);
    value = product.outputs[0] ?? '';
  }
  if (!half || !times) return undefined;
  const kind = inner.opType === 'Erf' ? 'gelu' : 'gelu-tanh';
  return { kind, form: 'decomposed', nodes, input, output: value };
}

function isHalfOf(view: GraphView, value: string, input: string): boolean {
  const product = view.source(value);
  if (!isOp(product, 'Mul')) return false;
  const other = otherOperand(view, product, input);
  return other !== undefined && view.scalar(other) === 0.5;
}

/** The x in `Erf(x / 1.414)`, `Erf(x * 0.707)` or `Tanh(0.798 * (x + 0.0447 * x^3))`. */
function geluInput(view: GraphView, inner: Node): string | undefined {
  const scaled = view.source(inner.inputs[0] ?? '');
  if (!isOp(scaled, 'Div', 'Mul')) return undefined;
  const [a = '', b = ''] = scaled.inputs;
  const variable = view.scalar(b) !== undefined ? a : view.scalar(a) !== undefined ? b : undefined;
  if (variable === undefined) return undefined;
  if (inner.opType === 'Erf') return view.origin(variable);
  const cubic = view.source(variable);
  if (!isOp(cubic, 'Add')) return undefined;
  return cubic.inputs
    .map((name) => view.origin(name))
    .find((name) => isCubicTerm(view, cubic, name));
}

function isCubicTerm(view: GraphView, sum: Node, input: string): boolean {
  const other = otherOperand(view, sum, input);
  let product = other === undefined ? undefined : view.source(other);
  for (let depth = 0; depth < 4 && isOp(product, 'Mul', 'Pow'); depth++) {
    const names = product.inputs.map((name) => view.origin(name));
    if (names.includes(input)) return true;
    product = names.map((name) => view.producer(name)).find((node) => isOp(node, 'Mul', 'Pow'));
  }
  return false;
}
