import { subgraphs } from '../ir/attributes.ts';
import {
  canonicalDomain,
  type Graph,
  type Node,
  type SparseTensor,
  type ValueInfo,
} from '../ir/model.ts';
import type { Tensor } from '../ir/tensor.ts';
import { mapSubgraphs } from './map-subgraphs.ts';
import type { Pass } from './pass.ts';

/**
 * Gives every value, constant and node inside a body a name that the whole model has
 * once: ONNX lets the two branches of an If use the same names. The main graph keeps its names, and so
 * does the first body that uses one: `y = If {a = Relu(x)} {a = Neg(x)}` -> `{a = Relu(x)} {a_1 = Neg(x)}`.
 */
export const distinctNames: Pass = {
  name: 'distinct-names',
  description: 'makes the names inside bodies unique in the whole model',
  run(model) {
    const { graph } = model;
    if (!graph.nodes.some(isControlFlow)) return model;
    const names: Names = { values: claims(), nodes: claims() };
    collectNames(graph, names);
    claimMain(graph, names);
    const nodes = mapAll(graph.nodes, (node) => renameBodies(node, (name) => name, names));
    return nodes === graph.nodes ? model : { ...model, graph: { ...graph, nodes } };
  },
};

const CONTROL_FLOW: ReadonlySet<string> = new Set(['If', 'Loop', 'Scan']);

/** Says whether a node has bodies that see the values around them: If, Loop or Scan. */
export function isControlFlow({ opType, domain }: Node): boolean {
  return CONTROL_FLOW.has(opType) && canonicalDomain(domain) === '';
}

interface Claims {
  /** Names that occur anywhere, before or after renaming. */
  readonly taken: Set<string>;
  /** Names that already mean something. */
  readonly claimed: Set<string>;
}

interface Names {
  readonly values: Claims;
  readonly nodes: Claims;
}

function claims(): Claims {
  return { taken: new Set(), claimed: new Set() };
}

function claim({ taken, claimed }: Claims, wanted: string): string {
  let name = wanted;
  for (let suffix = 1; claimed.has(name) || (name !== wanted && taken.has(name)); suffix++) {
    name = `${wanted}_${suffix}`;
  }
  taken.add(name);
  claimed.add(name);
  return name;
}

function* definedIn(graph: Graph): Generator<string> {
  for (const { name } of graph.inputs) yield name;
  yield* graph.initializers.keys();
  for (const { values } of graph.sparseInitializers) yield values.name;
  for (const node of graph.nodes) yield* node.outputs;
}

function collectNames(graph: Graph, { values, nodes }: Names): void {
  for (const name of definedIn(graph)) values.taken.add(name);
  for (const node of graph.nodes) {
    nodes.taken.add(node.name);
    for (const body of subgraphs(node)) collectNames(body, { values, nodes });
  }
}

function claimMain(graph: Graph, { values, nodes }: Names): void {
  for (const name of definedIn(graph)) values.claimed.add(name);
  for (const { name } of graph.nodes) nodes.claimed.add(name);
}

type Rename = (name: string) => string;

/** The graphs of other operators (beam search) are read by their names, so they keep them. */
function renameBodies(node: Node, outer: Rename, names: Names): Node {
  if (!isControlFlow(node)) return node;
  return mapSubgraphs(node, (body) => renameBody(body, outer, names));
}

function renameBody(graph: Graph, outer: Rename, names: Names): Graph {
  const own = new Map<string, string>();
  // An initializer may have the name of an input, which it then gives a default.
  const define: Rename = (name) => {
    if (name === '') return name;
    const known = own.get(name);
    if (known !== undefined) return known;
    const renamed = claim(names.values, name);
    own.set(name, renamed);
    return renamed;
  };
  const read: Rename = (name) => own.get(name) ?? outer(name);
  const inputs = mapAll(graph.inputs, (info) => renamed(info, define));
  const initializers = renameConstants(graph.initializers, define);
  const sparseInitializers = mapAll(graph.sparseInitializers, (sparse) =>
    renameSparse(sparse, define),
  );
  const nodes = mapAll(graph.nodes, (node) => renameNode(node, { read, define, names }));
  const outputs = mapAll(graph.outputs, (info) => renamed(info, read));
  const valueInfo = renameInfos(graph.valueInfo, read);
  const same =
    inputs === graph.inputs &&
    initializers === graph.initializers &&
    sparseInitializers === graph.sparseInitializers &&
    nodes === graph.nodes &&
    outputs === graph.outputs &&
    valueInfo === graph.valueInfo;
  if (same) return graph;
  return { ...graph, inputs, initializers, sparseInitializers, nodes, outputs, valueInfo };
}

function renameNode(
  node: Node,
  {
    read,
    define,
    names,
  }: { readonly read: Rename; readonly define: Rename; readonly names: Names },
): Node {
  // Inputs and bodies see what was defined before the node, its outputs not.
  const inputs = mapAll(node.inputs, read);
  const bodies = renameBodies(node, read, names);
  const outputs = mapAll(node.outputs, define);
  const name = node.name === '' ? '' : claim(names.nodes, node.name);
  const same =
    inputs === node.inputs && bodies === node && outputs === node.outputs && name === node.name;
  return same ? node : { ...bodies, name, inputs, outputs };
}

function renamed<Named extends ValueInfo | Tensor>(item: Named, rename: Rename): Named {
  const name = rename(item.name);
  return name === item.name ? item : { ...item, name };
}

function renameSparse(sparse: SparseTensor, rename: Rename): SparseTensor {
  const values = renamed(sparse.values, rename);
  return values === sparse.values ? sparse : { ...sparse, values };
}

function renameConstants(
  constants: ReadonlyMap<string, Tensor>,
  rename: Rename,
): ReadonlyMap<string, Tensor> {
  const next = [...constants.values()].map((tensor) => renamed(tensor, rename));
  if (next.every((tensor) => constants.get(tensor.name) === tensor)) return constants;
  return new Map(next.map((tensor) => [tensor.name, tensor]));
}

function renameInfos(
  infos: ReadonlyMap<string, ValueInfo>,
  rename: Rename,
): ReadonlyMap<string, ValueInfo> {
  const next = [...infos.values()].map((info) => renamed(info, rename));
  if (next.every((info) => infos.get(info.name) === info)) return infos;
  return new Map(next.map((info) => [info.name, info]));
}

/** Returns the list itself when nothing in it changes. */
function mapAll<Item>(items: readonly Item[], change: (item: Item) => Item): readonly Item[] {
  const next = items.map(change);
  return next.every((item, index) => item === items[index]) ? items : next;
}
