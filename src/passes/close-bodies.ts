import { capturedByNode } from '../ir/index-uses.ts';
import type { Graph, Model, Node } from '../ir/model.ts';
import { type Body, firstOutput, mapBodies, type OpenedModel } from './open-bodies.ts';

/**
 * Returns `changed`, an opened model with another main graph, with its bodies in place again. A node goes back
 * to the body whose value it makes; a new one goes to the innermost graph around all of its readers, and so do
 * new scalars: with the scale of an activation outside a body onnxruntime 1.30 fuses MatMul and Relu there to two
 * nodes of one name, and refuses its own work. Other new constants, weights, go to the main graph.
 */
export function closeBodies(opened: OpenedModel, changed: Model): Model {
  const { bodies, closed } = opened;
  if (bodies.length === 0) return changed;
  const { graph } = changed;
  const { places, homes } = placeNodes(opened, graph);
  const rebuild = (body: Body | undefined): readonly Node[] =>
    graph.nodes
      .filter((node) => places.get(node) === body)
      .map((node) => {
        const own = bodies.filter(
          ({ owner, parent }) => parent === body && owner === firstOutput(node),
        );
        return own.length === 0
          ? node
          : mapBodies(node, (inner, attribute) => {
              const found = own.find((candidate) => candidate.attribute === attribute);
              return found === undefined ? inner : restore(found, rebuild(found), homes, graph);
            });
      });
  const isMain = (name: string): boolean => homes.get(name) === undefined;
  const inputs = graph.inputs.filter(({ name }) => isMain(name));
  return {
    ...changed,
    graph: {
      ...graph,
      nodes: rebuild(undefined),
      inputs: inputs.length === closed.graph.inputs.length ? closed.graph.inputs : inputs,
      outputs: closed.graph.outputs,
      initializers: pick(graph.initializers, isMain),
      sparseInitializers: graph.sparseInitializers.filter(({ values }) => isMain(values.name)),
      valueInfo: pick(graph.valueInfo, isMain),
    },
  };
}

function restore(body: Body, nodes: readonly Node[], homes: Homes, graph: Graph): Graph {
  const isOwn = (name: string): boolean => homes.get(name) === body;
  const interfaceNames = new Set(
    [...body.graph.inputs, ...body.graph.outputs].map((info) => info.name),
  );
  return {
    ...body.graph,
    nodes,
    initializers: pick(graph.initializers, isOwn),
    sparseInitializers: graph.sparseInitializers.filter(({ values }) => isOwn(values.name)),
    valueInfo: pick(graph.valueInfo, (name) => isOwn(name) && !interfaceNames.has(name)),
  };
}

/** Where values and constants lie; absent or undefined is the main graph. */
type Homes = ReadonlyMap<string, Body | undefined>;

interface Places {
  /** Where each node goes; undefined is the main graph. */
  readonly places: ReadonlyMap<Node, Body | undefined>;
  readonly homes: Homes;
}

function placeNodes(opened: OpenedModel, graph: Graph): Places {
  const { homes, bodies, model } = opened;
  const known = new Set(model.graph.nodes.flatMap((node) => node.outputs).filter(Boolean));
  const places = new Map<Node, Body | undefined>();
  /** Where a value is read: the innermost graph around all readers so far. */
  const readIn = new Map<string, Body | undefined>();
  const read = (name: string, place: Body | undefined): void => {
    readIn.set(name, readIn.has(name) ? around(readIn.get(name), place) : place);
  };
  for (const { name } of model.graph.outputs) read(name, homes.get(name));
  for (const body of bodies) for (const { name } of body.graph.outputs) read(name, body);
  for (const node of graph.nodes.toReversed()) {
    const old = node.outputs.find((output) => known.has(output));
    const readers = node.outputs.filter((output) => readIn.has(output));
    const place =
      old !== undefined
        ? homes.get(old)
        : readers.map((output) => readIn.get(output)).reduce(around, readIn.get(readers[0] ?? ''));
    places.set(node, place);
    for (const name of node.inputs) read(name, place);
    for (const name of capturedByNode(node)) read(name, place);
  }
  const scalars = [...graph.initializers].filter(
    ([name, { dims }]) => dims.length === 0 && !model.graph.initializers.has(name),
  );
  return {
    places,
    homes: new Map([...homes, ...scalars.map(([name]) => [name, readIn.get(name)] as const)]),
  };
}

/** Returns the innermost graph around two others. */
function around(a: Body | undefined, b: Body | undefined): Body | undefined {
  const outside = new Set<Body | undefined>();
  for (let at = a; at !== undefined; at = at.parent) outside.add(at);
  let at = b;
  while (at !== undefined && !outside.has(at)) at = at.parent;
  return at;
}

function pick<Item>(
  items: ReadonlyMap<string, Item>,
  wanted: (name: string) => boolean,
): ReadonlyMap<string, Item> {
  return new Map([...items].filter(([name]) => wanted(name)));
}
