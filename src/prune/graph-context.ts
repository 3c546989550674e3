import { intAttribute } from '../ir/attributes.ts';
import type { Dim, Model, Node } from '../ir/model.ts';
import { canonicalDomain } from '../ir/model.ts';
import { numbersOf } from '../ops/op-spec.ts';
import { constantValues } from '../passes/constant-nodes.ts';
import { type GraphView, isOp, viewGraph } from '../passes/graph-view.ts';
import type { Operand, RuleContext } from './axis-rule.ts';
import { namedSizes } from './named-sizes.ts';

/** The main graph of a model as rules ask about it. */
export interface GraphContext {
  readonly view: GraphView;
  /** Returns the shape of a value, as far as inference and the weights that multiply it tell. */
  shape(value: string): readonly Dim[] | undefined;
  /** Says whether a value is the same in every run. */
  isConstant(value: string): boolean;
  /** Says whether a value is a stored tensor: an initializer or a Constant. */
  isStored(value: string): boolean;
  /** Returns what rules may ask about one node. */
  of(node: Node): RuleContext;
}

/** Returns the context of a model's main graph. */
export function graphContext(model: Model): GraphContext {
  const view = viewGraph(model);
  const constants = constantValues(model.graph);
  const versions = new Map(
    model.opsetImports.map(({ domain, version }) => [canonicalDomain(domain), version]),
  );
  const isStored = (value: string): boolean =>
    view.graph.initializers.has(value) || isOp(view.producer(value), 'Constant');
  const opset = (node: Node): number => versions.get(canonicalDomain(node.domain)) ?? 1;
  const widths = multipliedWidths(view, opset);
  const shape = (value: string): readonly Dim[] | undefined => {
    const known = view.facts(value).shape;
    const width = widths.get(value);
    const isOpen = known !== undefined && known.length > 0 && known.at(-1) === undefined;
    return isOpen && width !== undefined ? known.with(-1, width) : known;
  };
  return {
    view,
    shape,
    isConstant: (value) => view.graph.initializers.has(value) || constants.has(value),
    isStored,
    of: (node) => ({
      opset: opset(node),
      shape: (operand) => {
        const value = operandValue(node, operand);
        return value === '' ? undefined : shape(value);
      },
      numbers: (index) => numbersOf(view.facts(node.inputs[index] ?? '')),
      isConstant: (index) => {
        const value = node.inputs[index] ?? '';
        return view.graph.initializers.has(value) || constants.has(value);
      },
      isGiven: (index) => isGiven(view, node.inputs[index] ?? ''),
      repeatsAlong: (index, axis) => repeats(view, node.inputs[index] ?? '', axis),
    }),
  };
}

/** Returns the name of an operand; '' for one that is left out. */
export function operandValue(node: Node, { side, index }: Operand): string {
  return (side === 'input' ? node.inputs : node.outputs)[index] ?? '';
}

/** Widths of values that a weight multiplies, perhaps behind a Reshape to rows: -1 leaves them open. */
function multipliedWidths(
  view: GraphView,
  opset: (node: Node) => number,
): ReadonlyMap<string, number> {
  const widths = new Map<string, number>();
  for (const node of view.graph.nodes) {
    const [data = '', weight = ''] = node.inputs;
    const isTransposed = intAttribute(node, 'transB', 0) === 1;
    // Of a transposed operand the sum runs over the first axis.
    const isRow = isProductOp(node) && intAttribute(node, 'transA', 0) === 0;
    const depth = isRow ? view.facts(weight).shape?.at(isTransposed ? -1 : -2) : undefined;
    if (typeof depth === 'number') widths.set(data, depth);
  }
  const sizes = namedSizes({ view, opset, shape: (value) => view.facts(value).shape });
  for (const node of view.graph.nodes.toReversed()) {
    const [data = '', target = ''] = node.inputs;
    const width = widths.get(node.outputs[0] ?? '');
    if (width === undefined || !isOp(node, 'Reshape')) continue;
    // `x.view(-1, x.size(-1))` before a product.
    const own = sizes(data).shape?.at(-1);
    if (own !== undefined && own === sizes(target).elements?.at(-1)) widths.set(data, width);
  }
  return widths;
}

function isProductOp({ domain, opType }: Node): boolean {
  return canonicalDomain(domain) === '' && (opType === 'MatMul' || opType === 'Gemm');
}

/** Ops behind which an input of the model is still what its caller gave. */
const SAME_INPUT = ['Identity', 'Cast', 'Reshape', 'Unsqueeze', 'Squeeze', 'Flatten', 'Clip'];

function isGiven(view: GraphView, value: string): boolean {
  for (let at = value; ; ) {
    const node = view.producer(at);
    if (node === undefined) return view.graph.inputs.some(({ name }) => name === at);
    if (!isOp(node, ...SAME_INPUT)) return false;
    at = node.inputs[0] ?? '';
  }
}

/** Looks for the Expand or Tile that makes the copies, through what changes no axis. */
function repeats(view: GraphView, value: string, axis: number): boolean {
  const node = view.source(value);
  if (!isOp(node, 'Expand', 'Tile')) return false;
  const [before, after] = [node.inputs[0], node.outputs[0]].map(
    (name) => view.facts(name ?? '').shape,
  );
  if (before === undefined || after === undefined) return false;
  const own = axis - after.length + before.length;
  return (own < 0 || before[own] === 1) && after[axis] !== 1;
}
