import { attributes, subgraphs } from '../ir/attributes.ts';
import { DATA_TYPES, type DataType, type KnownDataType } from '../ir/data-type.ts';
import { nameMaker } from '../ir/edit.ts';
import { canonicalDomain, type Graph, type Model, type Node } from '../ir/model.ts';
import { inlineTensor } from '../ir/tensor.ts';
import { inferFacts, type ModelFacts } from '../passes/infer-facts.ts';
import { mapSubgraphs } from '../passes/map-subgraphs.ts';

/**
 * Returns the model with those of the values `names` that branches of If make given out to the main graph under
 * the same names, for onnxruntime to run; the model itself when there are none. Where the other branch was
 * taken, a value is a tensor of shape [0]. Names must be distinct in the whole model. Values in bodies of Loop
 * and Scan stay where they are.
 */
export function exposeValues(model: Model, names: readonly string[]): Model {
  const { graph } = model;
  const exposure: Exposure = {
    wanted: new Set(names),
    types: innerTypes(graph, inferFacts(model)),
    makeName: nameMaker(graph),
  };
  const nodes = exposeIn(graph.nodes, exposure);
  return nodes === graph.nodes ? model : { ...model, graph: { ...graph, nodes } };
}

interface Exposure {
  readonly wanted: ReadonlySet<string>;
  /** Element types of values in bodies, where they are known. */
  readonly types: ReadonlyMap<string, DataType>;
  readonly makeName: (wanted: string) => string;
}

function innerTypes(graph: Graph, facts: ModelFacts): ReadonlyMap<string, DataType> {
  const types = new Map<string, DataType>();
  for (const body of graph.nodes.flatMap(subgraphs)) {
    for (const [name, { dataType }] of facts.of(body)) {
      if (dataType !== undefined) types.set(name, dataType);
    }
    for (const [name, dataType] of innerTypes(body, facts)) types.set(name, dataType);
  }
  return types;
}

function exposeIn(nodes: readonly Node[], exposure: Exposure): readonly Node[] {
  const next = nodes.map((node) => exposeNode(node, exposure));
  return next.every((node, index) => node === nodes[index]) ? nodes : next;
}

function exposeNode(node: Node, exposure: Exposure): Node {
  if (node.opType !== 'If' || canonicalDomain(node.domain) !== '') return node;
  const opened = mapSubgraphs(node, (body) => {
    const nodes = exposeIn(body.nodes, exposure);
    return nodes === body.nodes ? body : { ...body, nodes };
  });
  const isWanted = (name: string): boolean => exposure.wanted.has(name);
  const found = subgraphs(opened).flatMap((body) => madeIn(body).filter(isWanted));
  if (found.length === 0) return node;
  const given = mapSubgraphs(opened, (body) => giveOut(body, found, exposure));
  // The value inside hides the one outside: within the branch nothing changes.
  return { ...given, outputs: [...given.outputs, ...found] };
}

function madeIn({ initializers, nodes }: Graph): readonly string[] {
  return [...initializers.keys(), ...nodes.flatMap((node) => node.outputs)];
}

/** Adds outputs to a branch: copies of its own values, and nothing in place of those of the other. */
function giveOut(body: Graph, names: readonly string[], { types, makeName }: Exposure): Graph {
  const own = new Set(madeIn(body));
  const noRows = makeName('no_rows');
  const made = names.map((name) => {
    const dataType = types.get(name) ?? 'float32';
    const output = makeName(`${name}_observed`);
    const node: Node = own.has(name)
      ? plainNode('Identity', name, output)
      : {
          ...plainNode('ConstantOfShape', noRows, output),
          attributes: attributes({ value: zero(dataType) }),
        };
    return { node, info: { name: output, type: { kind: 'tensor', dataType } as const } };
  });
  const shape = inlineTensor(noRows, 'int64', [1], new Uint8Array(8));
  return {
    ...body,
    initializers: new Map([...body.initializers, [noRows, shape]]),
    nodes: [...body.nodes, ...made.map(({ node }) => node)],
    outputs: [...body.outputs, ...made.map(({ info }) => info)],
  };
}

function plainNode(opType: string, input: string, output: string): Node {
  return {
    name: `${output}_node`,
    opType,
    domain: '',
    inputs: [input],
    outputs: [output],
    attributes: new Map(),
  };
}

function zero(dataType: DataType): ReturnType<typeof inlineTensor> {
  const { bits } = DATA_TYPES[dataType as KnownDataType];
  return inlineTensor('value', dataType, [1], new Uint8Array(bits / 8));
}
