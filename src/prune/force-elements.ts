import { canonicalDomain, type Dim, type Node } from '../ir/model.ts';
import { addConstant, insertBefore, type Rewrite } from '../ir/rewrite.ts';
import { divideDims } from '../ops/dim.ts';
import { numbersOf } from '../ops/op-spec.ts';
import { tensorOfElements } from '../ops/tensor-elements.ts';
import type { GraphView } from '../passes/graph-view.ts';
import { isSameElements, type SizeFacts } from './size-facts.ts';

/** Ops that hand on the same elements in the same order. */
const SAME_ORDER = ['Identity', 'Cast', 'Unsqueeze', 'Squeeze', 'Reshape', 'Flatten'];

/** What forcing needs to know and where it writes. */
export interface Forcing {
  readonly view: GraphView;
  readonly sizes: SizeFacts;
  readonly rewrite: Rewrite;
  /** The node that reads the sizes; copies of nodes are put before it. */
  readonly reader: Node;
}

/**
 * Returns a value that holds `wanted` where a shape vector would hold other numbers: constants in it are replaced by
 * new ones for this reader alone, because exporters share equal constants between head counts and other things.
 * What is computed from the shape of a value follows that value and stays. The same value back where it holds
 * them already, undefined where it cannot be made to.
 */
export function forceElements(
  forcing: Forcing,
  value: string,
  wanted: readonly Dim[],
): string | undefined {
  const { view, sizes } = forcing;
  if (isSameElements(sizes.after(value).elements, wanted)) return value;
  const node = view.producer(value);
  if (view.graph.initializers.has(value) || isOnnx(node, 'Constant')) {
    return forceConstant(forcing, value, wanted);
  }
  if (node === undefined) return undefined;
  const inputs = forceInputs(forcing, node, wanted);
  if (inputs !== undefined) return copyNode(forcing, node, inputs);
  // The width of another value that happened to be the same (`x.reshape(B, N, C)` in vision transformers).
  return forceConstant(forcing, value, wanted);
}

function isOnnx(node: Node | undefined, ...opTypes: readonly string[]): node is Node {
  return node !== undefined && canonicalDomain(node.domain) === '' && opTypes.includes(node.opType);
}

function forceConstant(
  { view, rewrite }: Forcing,
  value: string,
  wanted: readonly Dim[],
): string | undefined {
  const numbers = numbersOf({ elements: wanted });
  const { dataType = 'int64', shape = [wanted.length] } = view.facts(value);
  const dims = shape.length === 1 ? [wanted.length] : shape;
  if (numbers === undefined || !dims.every((dim) => typeof dim === 'number')) return undefined;
  const tensor = tensorOfElements(value, dataType, dims, numbers);
  if (tensor === undefined) return undefined;
  rewrite.perhapsUnused.add(value);
  return addConstant(rewrite, tensor);
}

/** Returns inputs of a node with which it gives the elements, undefined where there are none. */
function forceInputs(
  forcing: Forcing,
  node: Node,
  wanted: readonly Dim[],
): readonly string[] | undefined {
  const [first = '', ...others] = node.inputs;
  if (isOnnx(node, ...SAME_ORDER)) {
    const forced = forceElements(forcing, first, wanted);
    return forced === undefined ? undefined : [forced, ...others];
  }
  if (isOnnx(node, 'Concat')) return forceParts(forcing, node, wanted);
  if (isOnnx(node, 'Where')) return forceBranches(forcing, node, wanted);
  if (isOnnx(node, 'Mul')) return forceFactor(forcing, node, wanted);
  return isOnnx(node, 'Div') ? forceDivisor(forcing, node, wanted) : undefined;
}

function forceParts(
  forcing: Forcing,
  node: Node,
  wanted: readonly Dim[],
): readonly string[] | undefined {
  const { view, sizes } = forcing;
  const whole = sizes.before(node.outputs[0] ?? '').elements ?? [];
  let start = 0;
  const parts: string[] = [];
  for (const input of node.inputs) {
    const [length] = view.facts(input).shape ?? [];
    if (typeof length !== 'number') return undefined;
    const end = start + length;
    const part = wanted.slice(start, end);
    // What no cut reaches goes on as it is, also where only a run tells it.
    const stays = !sizes.changes(input) && isSameElements(part, whole.slice(start, end));
    const forced = stays ? input : forceElements(forcing, input, part);
    if (forced === undefined) return undefined;
    parts.push(forced);
    start = end;
  }
  return start === wanted.length ? parts : undefined;
}

/** Each element comes from one of two operands; the test stays the one of the old sizes. */
function forceBranches(
  forcing: Forcing,
  node: Node,
  wanted: readonly Dim[],
): readonly string[] | undefined {
  const { view, sizes } = forcing;
  const [test = '', ...operands] = node.inputs;
  const chosen = numbersOf(view.facts(test));
  if (chosen === undefined || sizes.changes(test)) return undefined;
  const next: string[] = [];
  for (const [branch, operand] of operands.entries()) {
    const { elements } = sizes.after(operand);
    const own = elements?.map((element, index) => {
      const isOwn = (chosen[chosen.length === 1 ? 0 : index] === 1) === (branch === 0);
      return isOwn ? wanted[index] : element;
    });
    const isTaken = chosen.some((test) => (test === 1) === (branch === 0));
    const isWhole = own?.length === wanted.length;
    const whole = isWhole ? forceElements(forcing, operand, own) : undefined;
    const forced = isTaken ? whole : operand;
    if (forced === undefined) return undefined;
    next.push(forced);
  }
  return [test, ...next];
}

/** `KV heads * copies`: the constant factor is what the other leaves. */
function forceFactor(
  forcing: Forcing,
  node: Node,
  wanted: readonly Dim[],
): readonly string[] | undefined {
  const { view, sizes } = forcing;
  const isStored = (value: string): boolean =>
    view.graph.initializers.has(value) || isOnnx(view.producer(value), 'Constant');
  const index = node.inputs.findIndex(isStored);
  const other = node.inputs[1 - index];
  if (index < 0 || other === undefined || isStored(other)) return undefined;
  const factors = sizes
    .after(other)
    .elements?.map((element, at) => divideDims(wanted[at], element));
  if (factors?.length !== wanted.length || !factors.every((factor) => factor !== undefined))
    return undefined;
  const forced = forceElements(forcing, node.inputs[index]!, factors);
  return forced === undefined ? undefined : node.inputs.with(index, forced);
}

/** `rows / heads`, of which the rows have become fewer: the constant divisor is what is left of them. */
function forceDivisor(
  forcing: Forcing,
  node: Node,
  wanted: readonly Dim[],
): readonly string[] | undefined {
  const { view, sizes } = forcing;
  const [dividend = '', divisor = ''] = node.inputs;
  const isStored =
    view.graph.initializers.has(divisor) || isOnnx(view.producer(divisor), 'Constant');
  const { dataType } = view.facts(dividend);
  if (!isStored || (dataType !== 'int64' && dataType !== 'int32')) return undefined;
  const elements = sizes.after(dividend).elements;
  const divisors = elements?.map((element, at) => divideDims(element, wanted[at]));
  if (divisors?.length !== wanted.length || !divisors.every((dim) => dim !== undefined))
    return undefined;
  const forced = forceElements(forcing, divisor, divisors);
  return forced === undefined ? undefined : [dividend, forced];
}

function copyNode({ rewrite, reader }: Forcing, node: Node, inputs: readonly string[]): string {
  const outputs = node.outputs.map((output) => (output === '' ? '' : rewrite.freshName(output)));
  // Nameless nodes get a free name when the rewrite ends.
  insertBefore(rewrite, reader, [{ ...node, name: '', inputs, outputs }]);
  for (const output of node.outputs) rewrite.perhapsUnused.add(output);
  return outputs[0] ?? '';
}
