import { indexUses, type Use } from '../ir/index-uses.ts';
import type { Graph, Model, Node } from '../ir/model.ts';
import { canonicalDomain } from '../ir/model.ts';
import { type Facts, scalarOf, UNKNOWN } from '../ops/op-spec.ts';
import { inferFacts } from './infer-facts.ts';

/** Ops that hand on the same numbers, up to rounding. Patterns look through them. */
const TRANSPARENT: ReadonlySet<string> = new Set([
  'Identity',
  'Cast',
  'Dropout',
  'QuantizeLinear',
  'DequantizeLinear',
]);

/** Ops that move elements but do not compute; only their first input carries data. */
const MOVING: ReadonlySet<string> = new Set([
  'Reshape',
  'Transpose',
  'Squeeze',
  'Unsqueeze',
  'Flatten',
  'Expand',
  'Tile',
  'Slice',
  'Split',
  'Gather',
  'Pad',
]);

/** The main graph of a model, as pattern code wants to see it. */
export interface GraphView {
  readonly graph: Graph;
  facts(value: string): Facts;
  producer(value: string): Node | undefined;
  uses(value: string): readonly Use[];
  isOutput(value: string): boolean;
  /** Position of a node in the graph. */
  position(node: Node): number;
  /** The value behind Identity, Cast, Dropout and Q/DQ. */
  origin(value: string): string;
  /** The node that makes the value, looking through the same ops. */
  source(value: string): Node | undefined;
  /** The nodes that read the value, looking through the same ops forward. */
  readers(value: string): readonly Reader[];
  /** The number, when the value is a known constant of one element. */
  scalar(value: string): number | undefined;
}

/** A node that reads a value, perhaps behind a Cast: `inputIndex` says where it enters. */
interface Reader {
  readonly node: Node;
  readonly inputIndex: number;
}

/** Models do not change, so each is viewed once. */
const known = new WeakMap<Model, GraphView>();

/** Returns the view, one for each model; linear in the size of the graph, everything else is a look-up. */
export function viewGraph(model: Model): GraphView {
  const view = known.get(model) ?? makeView(model);
  known.set(model, view);
  return view;
}

function makeView(model: Model): GraphView {
  const { graph } = model;
  const facts = inferFacts(model).of(graph);
  const index = indexUses(graph);
  const positions = new Map(graph.nodes.map((node, position) => [node, position]));
  const origin = (value: string): string => {
    let at = value;
    for (;;) {
      const node = index.producers.get(at);
      if (node === undefined || !TRANSPARENT.has(node.opType)) return at;
      at = node.inputs[0] ?? '';
    }
  };
  const readers = (value: string): readonly Reader[] => {
    const found: Reader[] = [];
    for (const use of index.uses.get(value) ?? []) {
      const through = TRANSPARENT.has(use.node.opType) && use.inputIndex === 0;
      const output = use.node.outputs[0];
      if (through && output !== undefined) found.push(...readers(output));
      else found.push(use);
    }
    return found;
  };
  return {
    graph,
    facts: (value) => facts.get(value) ?? UNKNOWN,
    producer: (value) => index.producers.get(value),
    uses: (value) => index.uses.get(value) ?? [],
    isOutput: (value) => index.outputs.has(value),
    position: (node) => positions.get(node) ?? -1,
    origin,
    source: (value) => index.producers.get(origin(value)),
    readers,
    scalar: (value) => scalarOf(facts.get(value)) ?? scalarOf(facts.get(origin(value))),
  };
}

/** Says whether a node is of one of the op types in the default domain or onnxruntime's. */
export function isOp(node: Node, ...opTypes: readonly string[]): boolean;
export function isOp(node: Node | undefined, ...opTypes: readonly string[]): node is Node;
export function isOp(node: Node | undefined, ...opTypes: readonly string[]): boolean {
  if (node === undefined || !opTypes.includes(node.opType)) return false;
  const domain = canonicalDomain(node.domain);
  return domain === '' || domain === 'com.microsoft';
}

/** Says whether the node only moves elements of its first input. */
export function isMoving(node: Node): boolean {
  return MOVING.has(node.opType);
}

/** Says whether the node hands on the same numbers. */
export function isTransparent(node: Node): boolean {
  return TRANSPARENT.has(node.opType);
}

/** Returns the inputs that carry data: the first of a moving op, all but the test of Where. */
export function dataInputs(node: Node): readonly string[] {
  if (isMoving(node) || isTransparent(node)) return node.inputs.slice(0, 1);
  return (node.opType === 'Where' ? node.inputs.slice(1) : node.inputs).filter(
    (name) => name !== '',
  );
}

/** Returns the other operand of a two-operand node, when exactly one has the given origin. */
export function otherOperand(view: GraphView, node: Node, origin: string): string | undefined {
  const [a = '', b = ''] = node.inputs;
  const [fromA, fromB] = [view.origin(a) === origin, view.origin(b) === origin];
  if (fromA === fromB) return undefined;
  return fromA ? b : a;
}

/** Returns the first reader of the value that is one of the ops. */
export function findReader(
  view: GraphView,
  value: string | undefined,
  ...opTypes: readonly string[]
): Node | undefined {
  if (value === undefined) return undefined;
  return view.readers(value).find(({ node }) => isOp(node, ...opTypes))?.node;
}

/**
 * Searches values level by level. `visit` returns what was found at a value, or else the values one
 * step further; the search ends after `maxDepth` steps.
 */
export function searchByLevels<Found extends object>(
  start: string,
  maxDepth: number,
  visit: (value: string) => Found | readonly string[],
): Found | undefined {
  let level: readonly string[] = [start];
  for (let depth = 0; depth < maxDepth && level.length > 0; depth++) {
    const next: string[] = [];
    for (const value of level) {
      const step = visit(value);
      if (!Array.isArray(step)) return step as Found;
      next.push(...step);
    }
    level = next;
  }
  return undefined;
}
