import { FormatError } from '../errors.ts';
import { subgraphs } from '../ir/attributes.ts';
import {
  canonicalDomain,
  type FunctionDefinition,
  type Graph,
  type Model,
  type Node,
} from '../ir/model.ts';
import { isRuntimeOperator } from '../ops/runtime-operators.ts';

/** What inlining accepts at most; each limit lies far above what real exports reach. */
const INLINE_LIMITS = {
  /** Functions that call functions that call functions ... */
  nesting: 100,
  /**
   * Nodes with their inputs, outputs and attributes after inlining, 100 to 200 bytes each: 30 functions that call
   * the next one twice would be 10^9 nodes. An export of 50,000 nodes has 300,000.
   */
  items: 2_000_000,
} as const;

/** The local functions of a model. */
export interface FunctionLibrary {
  /**
   * Returns the function that a node calls, in a graph of this opset of ai.onnx. Operators that onnxruntime knows itself are
   * no calls.
   */
  calleeOf(node: Node, opset: number): FunctionDefinition | undefined;
  /** Returns the function of the name of a node, called or not. */
  namesakeOf(node: Node): FunctionDefinition | undefined;
}

/** Returns the library of a model. */
export function functionLibrary({ functions }: Model): FunctionLibrary {
  const byKey = new Map(
    functions.map((definition) => [keyOf(definition, definition.name), definition]),
  );
  const namesakeOf = (node: Node): FunctionDefinition | undefined =>
    byKey.get(keyOf(node, node.opType));
  return {
    namesakeOf,
    calleeOf: (node, opset) =>
      isRuntimeOperator(node.domain, node.opType, opset) ? undefined : namesakeOf(node),
  };
}

function keyOf({ domain, overload }: Pick<Node, 'domain' | 'overload'>, name: string): string {
  return JSON.stringify([canonicalDomain(domain), name, overload ?? '']);
}

/** Returns the name of a function as messages have it: `pkg.nn:Linear`. */
export function functionLabel({ domain, name }: FunctionDefinition): string {
  return `function ${domain === '' ? '' : `${domain}:`}${name}`;
}

/** Returns the opset of ai.onnx that a function is written in, undefined when it uses none. */
export function functionOpset({ opsetImports }: FunctionDefinition): number | undefined {
  return opsetImports.find(({ domain }) => canonicalDomain(domain) === '')?.version;
}

/** Yields nodes and those of their bodies. */
export function* allNodes(nodes: readonly Node[]): Generator<Node> {
  for (const node of nodes) {
    yield node;
    for (const inner of subgraphs(node)) yield* allNodes(inner.nodes);
  }
}

interface Extent {
  readonly items: number;
  readonly nesting: number;
}

/**
 * Returns the functions that a graph calls, directly or through others. Throws {@link FormatError} when a
 * function calls itself or inlining would pass {@link INLINE_LIMITS}: files are untrusted.
 */
export function calledFunctions(
  graph: Graph,
  library: FunctionLibrary,
  opset: number,
): ReadonlySet<FunctionDefinition> {
  const extents = new Map<FunctionDefinition, Extent>();
  const measure = (
    nodes: readonly Node[],
    written: number,
    path: readonly FunctionDefinition[],
  ): Extent => {
    let items = 0;
    let nesting = 0;
    for (const node of allNodes(nodes)) {
      items += 1 + node.inputs.length + node.outputs.length + node.attributes.size;
      const callee = library.calleeOf(node, written);
      if (callee !== undefined) {
        const inner = extentOf(callee, path);
        items += inner.items;
        nesting = Math.max(nesting, inner.nesting + 1);
      }
      if (items > INLINE_LIMITS.items || nesting > INLINE_LIMITS.nesting)
        refuseExtent(path, nesting);
    }
    return { items, nesting };
  };
  const extentOf = (callee: FunctionDefinition, path: readonly FunctionDefinition[]): Extent => {
    const known = extents.get(callee);
    if (known !== undefined) return known;
    refuseRecursion(callee, path);
    if (path.length > INLINE_LIMITS.nesting) refuseExtent(path, path.length);
    const inner = measure(callee.nodes, functionOpset(callee) ?? opset, [...path, callee]);
    const items = inner.items + callee.inputs.length + callee.outputs.length;
    const extent = { items, nesting: inner.nesting };
    extents.set(callee, extent);
    return extent;
  };
  measure(graph.nodes, opset, []);
  return new Set(extents.keys());
}

function refuseRecursion(callee: FunctionDefinition, path: readonly FunctionDefinition[]): void {
  const start = path.indexOf(callee);
  if (start < 0) return;
  const names = [...path.slice(start), callee].map(({ name }) => name);
  const shown = names.length > 5 ? [...names.slice(0, 3), '...', callee.name] : names;
  throw new FormatError(
    `${functionLabel(callee)}: calls itself (${shown.join(' -> ')}). Export the model again.`,
  );
}

function refuseExtent(path: readonly FunctionDefinition[], nesting: number): never {
  const where = path[0] === undefined ? 'model' : functionLabel(path[0]);
  const what =
    nesting > INLINE_LIMITS.nesting
      ? `more than ${INLINE_LIMITS.nesting} functions call each other in turn`
      : `its local functions stand for more than ${INLINE_LIMITS.items} nodes, inputs, outputs and attributes`;
  throw new FormatError(`${where}: ${what}. Export the model without local functions.`);
}
