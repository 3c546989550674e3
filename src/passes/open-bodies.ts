import { subgraphs } from '../ir/attributes.ts';
import type { Attribute, Graph, Model, Node, SparseTensor, ValueInfo } from '../ir/model.ts';
import type { Tensor } from '../ir/tensor.ts';
import { findOp } from '../ops/index.ts';
import { distinctNames, isControlFlow } from './distinct-names.ts';
import { mapAttributes } from './map-subgraphs.ts';

/** A body of If, Loop or Scan whose nodes lie in the main graph of an {@link OpenedModel}. */
export interface Body {
  /** For people: `then_branch of If "/model/If"`. */
  readonly label: string;
  /** `If`, `Loop` or `Scan`. */
  readonly opType: string;
  /** The first output of the node whose body it is, and the attribute that holds it. */
  readonly owner: string;
  readonly attribute: string;
  /** The body around this one. */
  readonly parent: Body | undefined;
  /** The graph as it was. */
  readonly graph: Graph;
}

/**
 * A model whose bodies with products are spread out in the main graph, each in front of its If, Loop or
 * Scan, so that whatever looks at one graph, or rewrites it, sees their nodes. It is not for running: the
 * inputs of a Loop body are graph inputs in it, and both branches of an If are computed.
 */
export interface OpenedModel {
  readonly model: Model;
  /** The body of each value and constant that was spread out; those of the main graph are absent. */
  readonly homes: ReadonlyMap<string, Body>;
  /** In the order of the file. */
  readonly bodies: readonly Body[];
  /** What was opened, with distinct names. */
  readonly closed: Model;
}

/** Models do not change, so each is opened once. */
const known = new WeakMap<Model, OpenedModel>();

/**
 * Returns the model with every body that holds a product spread out; without any, the model as it is. The same
 * object for the same model.
 */
export function openBodies(model: Model): OpenedModel {
  const opened = known.get(model) ?? spreadBodies(model);
  known.set(model, opened);
  return opened;
}

function spreadBodies(model: Model): OpenedModel {
  if (!model.graph.nodes.some(isSpread)) {
    return { model, homes: new Map(), bodies: [], closed: model };
  }
  const closed = distinctNames.run(model, { decline: () => {} });
  const { graph } = closed;
  const spread: Spread = {
    nodes: [],
    inputs: [...graph.inputs],
    outputs: [...graph.outputs],
    initializers: new Map(graph.initializers),
    sparseInitializers: [...graph.sparseInitializers],
    valueInfo: new Map(graph.valueInfo),
    homes: new Map(),
    bodies: [],
  };
  spreadNodes(graph, undefined, new Set(graph.outputs.map(({ name }) => name)), spread);
  const { homes, bodies, ...parts } = spread;
  return { model: { ...closed, graph: { ...graph, ...parts } }, homes, bodies, closed };
}

/** Returns the body in which a node lies, by the first value that it makes; undefined in the main graph. */
export function bodyOf({ homes }: OpenedModel, node: Node): Body | undefined {
  return homes.get(firstOutput(node));
}

/**
 * Says whether the input of a layer can be observed: it lies in the main graph or in branches of If, whose values
 * can be given out. What a Loop or Scan computes differs in shape from turn to turn.
 */
export function isReached({ homes }: OpenedModel, { input }: { readonly input: string }): boolean {
  for (let body = homes.get(input); body !== undefined; body = body.parent) {
    if (body.opType !== 'If') return false;
  }
  return true;
}

/** Returns the name of the first value that a node makes, '' when it makes none. */
export function firstOutput(node: Node): string {
  return node.outputs.find((output) => output !== '') ?? '';
}

/** Returns the node with every body replaced by what `change` returns for it and for its attribute. */
export function mapBodies(node: Node, change: (graph: Graph, attribute: string) => Graph): Node {
  return mapAttributes(node, (attribute): Attribute => {
    if (attribute.kind === 'graph') {
      return { ...attribute, value: change(attribute.value, attribute.name) };
    }
    if (attribute.kind !== 'graphs') return attribute;
    const value = attribute.value.map((graph, at) => change(graph, `${attribute.name}[${at}]`));
    return { ...attribute, value };
  });
}

interface Spread {
  readonly nodes: Node[];
  readonly inputs: ValueInfo[];
  readonly outputs: ValueInfo[];
  readonly homes: Map<string, Body>;
  readonly bodies: Body[];
  readonly initializers: Map<string, Tensor>;
  readonly sparseInitializers: SparseTensor[];
  readonly valueInfo: Map<string, ValueInfo>;
}

/** Adds nodes of one graph; `leaving` are those of its values that are outputs of the whole model. */
function spreadNodes(
  graph: Graph,
  parent: Body | undefined,
  leaving: ReadonlySet<string>,
  spread: Spread,
): void {
  for (const node of graph.nodes) {
    const shell = !isSpread(node)
      ? node
      : mapBodies(node, (inner, attribute) => {
          if (!holdsProduct(inner)) return inner;
          const body = describeBody(node, inner, attribute, parent);
          spreadBody(body, leavingBody(node, inner, leaving), spread);
          const nothing = { initializers: new Map(), sparseInitializers: [], valueInfo: new Map() };
          return { ...inner, ...nothing, nodes: [] };
        });
    spread.nodes.push(shell);
    if (parent === undefined) continue;
    for (const output of node.outputs) if (output !== '') spread.homes.set(output, parent);
  }
}

function describeBody(node: Node, graph: Graph, attribute: string, parent: Body | undefined): Body {
  const owner = firstOutput(node);
  const label = `${attribute} of ${node.opType} "${node.name === '' ? owner : node.name}"`;
  return { label, opType: node.opType, owner, attribute, parent, graph };
}

/** Outputs of a branch that its If gives out of the model. The outputs of a Loop go round first. */
function leavingBody(node: Node, inner: Graph, leaving: ReadonlySet<string>): ReadonlySet<string> {
  if (node.opType !== 'If') return new Set();
  const names = inner.outputs.map(({ name }) => name);
  return new Set(names.filter((_, at) => leaving.has(node.outputs[at] ?? '')));
}

function spreadBody(body: Body, leaving: ReadonlySet<string>, spread: Spread): void {
  const { graph } = body;
  const { homes, inputs, outputs, initializers, sparseInitializers, valueInfo } = spread;
  spread.bodies.push(body);
  for (const input of graph.inputs) {
    homes.set(input.name, body);
    inputs.push(input);
  }
  for (const [name, tensor] of graph.initializers) {
    homes.set(name, body);
    initializers.set(name, tensor);
  }
  for (const sparse of graph.sparseInitializers) {
    homes.set(sparse.values.name, body);
    sparseInitializers.push(sparse);
  }
  for (const [name, info] of graph.valueInfo) valueInfo.set(name, info);
  for (const output of graph.outputs) {
    if (leaving.has(output.name)) outputs.push(output);
    else valueInfo.set(output.name, output);
  }
  spreadNodes(graph, body, leaving, spread);
}

/** Says whether a node is an If, Loop or Scan around a product. */
function isSpread(node: Node): boolean {
  return isControlFlow(node) && firstOutput(node) !== '' && subgraphs(node).some(holdsProduct);
}

function holdsProduct(graph: Graph): boolean {
  return graph.nodes.some(
    (node) =>
      findOp(node.domain, node.opType)?.weight !== undefined ||
      node.opType === 'Einsum' ||
      isSpread(node),
  );
}
