import type { Dim, Node } from '../ir/model.ts';
import { addConstant, insertBefore, type Rewrite } from '../ir/rewrite.ts';
import { divideDims } from '../ops/dim.ts';
import { type Facts, numbersOf } from '../ops/op-spec.ts';
import { tensorOfElements } from '../ops/tensor-elements.ts';
import type { GraphView } from '../passes/graph-view.ts';

/** Ops that hand on the same elements in the same order. */
const SAME_ORDER = ['Identity', 'Cast', 'Unsqueeze', 'Squeeze', 'Reshape', 'Flatten'];

/** What forcing needs to know and where it writes. */
export interface Forcing {
  readonly view: GraphView;
  /** What shape arithmetic gives after the cut by itself. */
  readonly after: (value: string) => Facts;
  readonly rewrite: Rewrite;
  /** The node that reads the sizes; copies of nodes are put before it. */
  readonly reader: Node;
}

/**
 * Returns a value that holds `wanted` where a shape vector would hold other numbers: constants in it are replaced by
 * new ones for this reader alone, because exporters share equal constants between head counts and other things.
 * What is computed from the shape of a value follows that value and stays. The same value back where it holds
 * them already, or cannot be made to.
 */
export function forceElements(forcing: Forcing, value: string, wanted: readonly Dim[]): string {
  const { view, after } = forcing;
  const now = after(value);
  if (now.elements?.every((element, index) => element === wanted[index]) ?? false) return value;
  const node = view.producer(value);
  if (view.graph.initializers.has(value) || node?.opType === 'Constant') {
    return forceConstant(forcing, value, wanted);
  }
  if (node === undefined) return value;
  const inputs = forceInputs(forcing, node, wanted);
  if (inputs.some((name, index) => name !== node.inputs[index])) {
    return copyNode(forcing, node, inputs);
  }
  // The width of another value that happened to be the same (`x.reshape(B, N, C)` in vision transformers).
  const isKnown = numbersOf(view.facts(value)) !== undefined;
  return isKnown ? forceConstant(forcing, value, wanted) : value;
}

function forceConstant({ view, rewrite }: Forcing, value: string, wanted: readonly Dim[]): string {
  const numbers = numbersOf({ elements: wanted });
  const { dataType = 'int64', shape = [] } = view.facts(value);
  const tensor = numbers && tensorOfElements(value, dataType, shape.map(Number), numbers);
  if (tensor === undefined) return value;
  rewrite.perhapsUnused.add(value);
  return addConstant(rewrite, tensor);
}

function forceInputs(forcing: Forcing, node: Node, wanted: readonly Dim[]): readonly string[] {
  const { view } = forcing;
  const [first = '', ...others] = node.inputs;
  if (SAME_ORDER.includes(node.opType)) return [forceElements(forcing, first, wanted), ...others];
  if (node.opType === 'Concat') {
    let start = 0;
    return node.inputs.map((input) => {
      const length = view.facts(input).elements?.length ?? 0;
      start += length;
      return forceElements(forcing, input, wanted.slice(start - length, start));
    });
  }
  if (node.opType === 'Where') return forceBranches(forcing, node, wanted);
  return node.opType === 'Mul' ? forceFactor(forcing, node, wanted) : node.inputs;
}

/** Each element comes from one of two operands; the test stays the one of the old sizes. */
function forceBranches(forcing: Forcing, node: Node, wanted: readonly Dim[]): readonly string[] {
  const { view } = forcing;
  const [test = '', ...operands] = node.inputs;
  const chosen = numbersOf(view.facts(test));
  if (chosen === undefined) return node.inputs;
  const next = operands.map((operand, branch) => {
    const elements = view.facts(operand).elements;
    if (elements === undefined || elements.length !== wanted.length) return operand;
    const own = elements.map((element, index) => {
      const isOwn = (chosen[chosen.length === 1 ? 0 : index] === 1) === (branch === 0);
      return isOwn ? wanted[index] : element;
    });
    return forceElements(forcing, operand, own);
  });
  return [test, ...next];
}

/** `KV heads * copies`: the constant factor is what the other leaves. */
function forceFactor(forcing: Forcing, node: Node, wanted: readonly Dim[]): readonly string[] {
  const { view, after } = forcing;
  const isStored = (value: string): boolean =>
    view.graph.initializers.has(value) || view.producer(value)?.opType === 'Constant';
  const index = node.inputs.findIndex(isStored);
  const other = node.inputs[1 - index];
  if (index < 0 || other === undefined || isStored(other)) return node.inputs;
  const factors = after(other).elements?.map((element, at) => divideDims(wanted[at], element));
  if (factors?.length !== wanted.length || !factors.every((factor) => factor !== undefined))
    return node.inputs;
  return node.inputs.with(index, forceElements(forcing, node.inputs[index]!, factors));
}

function copyNode({ rewrite, reader }: Forcing, node: Node, inputs: readonly string[]): string {
  const outputs = node.outputs.map((output) => (output === '' ? '' : rewrite.freshName(output)));
  // Nameless nodes get a free name when the rewrite ends.
  insertBefore(rewrite, reader, [{ ...node, name: '', inputs, outputs }]);
  for (const output of node.outputs) rewrite.perhapsUnused.add(output);
  return outputs[0] ?? '';
}
