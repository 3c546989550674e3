/** Pure edits: each returns a new record and shares everything it does not change. */
import { subgraphs } from './attributes.ts';
import type { Graph, Model, Node, ValueInfo } from './model.ts';
import type { Tensor } from './tensor.ts';

/** What {@link editGraph} changes; absent fields stay as they are. */
export interface GraphEdit {
  /** Replaces a node by others (an empty list removes it). */
  readonly replace?: ReadonlyMap<Node, readonly Node[]>;
  /** Initializers to add, or to put in place of one with the same name. */
  readonly addInitializers?: Iterable<Tensor>;
  readonly removeInitializers?: ReadonlySet<string>;
  readonly valueInfo?: ReadonlyMap<string, ValueInfo>;
}

/** Returns the graph with an edit applied; the same object when the edit is empty. */
export function editGraph(graph: Graph, edit: GraphEdit): Graph {
  const { replace, removeInitializers, valueInfo } = edit;
  const added = [...(edit.addInitializers ?? [])];
  const changesNodes = replace !== undefined && replace.size > 0;
  const changesInitializers = added.length > 0 || (removeInitializers?.size ?? 0) > 0;
  if (!changesNodes && !changesInitializers && valueInfo === undefined) return graph;
  let initializers = graph.initializers;
  if (changesInitializers) {
    const next = new Map(graph.initializers);
    for (const name of removeInitializers ?? []) next.delete(name);
    for (const tensor of added) next.set(tensor.name, tensor);
    initializers = next;
  }
  return {
    ...graph,
    nodes: changesNodes ? graph.nodes.flatMap((node) => replace.get(node) ?? [node]) : graph.nodes,
    initializers,
    valueInfo: valueInfo ?? graph.valueInfo,
  };
}

/** Returns the model with another main graph; the same model when the graph is the same. */
export function withGraph(model: Model, graph: Graph): Model {
  return graph === model.graph ? model : { ...model, graph };
}

/** The parts of a graph that have names. */
type NamedParts = Pick<Graph, 'inputs' | 'initializers' | 'nodes'> &
  Partial<Pick<Graph, 'sparseInitializers' | 'valueInfo'>>;

/**
 * Returns a function that makes names not yet used in the graph, its subgraphs, or by itself: a value
 * may not even take the name of a type that is declared for a value that is gone.
 */
export function nameMaker(graph: NamedParts): (wanted: string) => string {
  const taken = new Set<string>();
  collectNames(graph, taken);
  return freeNames(taken);
}

/**
 * Returns a function that makes names which no node of the graph, its subgraphs or `others` has, and
 * which it has not made before: onnxruntime refuses a file in which two nodes share a name.
 */
export function nodeNameMaker(
  graph: Graph,
  others: Iterable<Node> = [],
): (wanted: string) => string {
  const taken = new Set<string>();
  for (const { name } of others) taken.add(name);
  collectNodeNames(graph, taken);
  return freeNames(taken);
}

function freeNames(taken: Set<string>): (wanted: string) => string {
  // Where to go on counting: a file may hold a hundred thousand times the same name.
  const suffixes = new Map<string, number>();
  return (wanted) => {
    let name = wanted;
    let suffix = suffixes.get(wanted) ?? 1;
    for (; taken.has(name); suffix++) name = `${wanted}_${suffix}`;
    suffixes.set(wanted, suffix);
    taken.add(name);
    return name;
  };
}

function collectNames(graph: NamedParts, into: Set<string>): void {
  for (const input of graph.inputs) into.add(input.name);
  for (const name of graph.initializers.keys()) into.add(name);
  for (const { values } of graph.sparseInitializers ?? []) into.add(values.name);
  for (const name of graph.valueInfo?.keys() ?? []) into.add(name);
  for (const node of graph.nodes) {
    if (node.name !== '') into.add(node.name);
    for (const output of node.outputs) into.add(output);
    for (const inner of subgraphs(node)) collectNames(inner, into);
  }
}

function collectNodeNames(graph: Graph, into: Set<string>): void {
  for (const node of graph.nodes) {
    into.add(node.name);
    for (const inner of subgraphs(node)) collectNodeNames(inner, into);
  }
}
