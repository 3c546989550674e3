import { FormatError, UnsupportedError } from '../errors.ts';
import { tensorAttribute } from '../ir/attributes.ts';
import type { Attribute, FunctionDefinition, Graph, Node, ValueInfo } from '../ir/model.ts';
import type { Tensor } from '../ir/tensor.ts';
import { functionLabel, functionOpset } from './function-library.ts';
import { raiseNodes } from './raise-opset.ts';

/** Names from a file may be a megabyte long, and a call gives each of its nodes one. */
const NAME_CHARACTERS = 200;

/** Constants of a body above this many bytes are stored once for all calls. */
const MAX_REPEATED_BYTES = 4096;

/** What all calls of a model share. */
export interface Inlining {
  /** The opset of ai.onnx that all nodes end up in. */
  readonly opset: number;
  /** Makes a name that nothing in the model has. */
  readonly makeName: (wanted: string) => string;
  /** Initializers that the main graph gets. */
  readonly constants: Map<string, Tensor>;
  /** Large constants of bodies, by their Constant node: the name of the initializer. */
  readonly shared: Map<Node, string>;
}

/** What the names of a function body, or of a graph in it, stand for at one call. */
interface Names {
  readonly own: Map<string, string>;
  readonly outer: Names | undefined;
}

interface Call {
  readonly node: Node;
  readonly callee: FunctionDefinition;
  readonly prefix: string;
  readonly inlining: Inlining;
}

/**
 * Returns the nodes that a call of a function stands for, in the model's names and opset; calls among them
 * stay. Throws {@link FormatError} for calls that do not fit the function, {@link UnsupportedError} naming
 * function and node when the body cannot be raised to the model's opset.
 */
export function instantiateFunction(
  node: Node,
  callee: FunctionDefinition,
  inlining: Inlining,
): readonly Node[] {
  const prefix = shortened(node.name === '' ? node.opType : node.name);
  const call: Call = { node, callee, prefix, inlining };
  requireFit(call);
  const names: Names = { own: new Map(), outer: undefined };
  callee.inputs.forEach((name, index) => {
    names.own.set(name, node.inputs[index] ?? '');
  });
  const copies = bindOutputs(call, names);
  const body = callee.nodes.filter((inner) => !isShared(call, names, inner));
  const renamed = renameNodes(body, call, names);
  return [...raised(renamed, call), ...copies];
}

function requireFit({ node, callee }: Call): void {
  const counts = [
    ['inputs', node.inputs.length, callee.inputs.length],
    ['outputs', node.outputs.length, callee.outputs.length],
  ] as const;
  for (const [what, got, most] of counts) {
    if (got <= most) continue;
    throw new FormatError(
      `node ${node.name}: has more ${what} than ${functionLabel(callee)} (got ${got}, expected at most ` +
        `${most}). Export the model again.`,
    );
  }
}

/** Binds outputs to what the call names them. What is an input at the same time is copied. */
function bindOutputs({ node, callee, prefix, inlining }: Call, names: Names): readonly Node[] {
  const copies: Node[] = [];
  callee.outputs.forEach((name, index) => {
    const output = node.outputs[index] ?? '';
    if (output === '') return;
    const known = names.own.get(name);
    if (known === undefined) names.own.set(name, output);
    else if (known !== '') {
      copies.push({
        name: inlining.makeName(`${prefix}/Identity`),
        opType: 'Identity',
        domain: '',
        inputs: [known],
        outputs: [output],
        attributes: new Map(),
      });
    } else {
      throw new FormatError(
        `node ${node.name}: ${functionLabel(callee)} hands on input "${name}", which the call leaves out. ` +
          'Export the model again.',
      );
    }
  });
  return copies;
}

/** Makes a large constant of the body an initializer, once for all calls. */
function isShared({ callee, prefix, inlining }: Call, names: Names, node: Node): boolean {
  const tensor = node.opType === 'Constant' ? tensorAttribute(node, 'value') : undefined;
  const [output = ''] = node.outputs;
  if (tensor === undefined || tensor.source.byteLength <= MAX_REPEATED_BYTES) return false;
  if (callee.outputs.includes(output)) return false;
  let name = inlining.shared.get(node);
  if (name === undefined) {
    name = inlining.makeName(`${prefix}/${shortened(output)}`);
    inlining.shared.set(node, name);
    inlining.constants.set(name, { ...tensor, name });
  }
  names.own.set(output, name);
  return true;
}

function raised(nodes: readonly Node[], { node, callee, inlining }: Call): readonly Node[] {
  const { opset: to, makeName, constants } = inlining;
  const from = functionOpset(callee) ?? to;
  try {
    const result = raiseNodes(nodes, { from, to, makeName, read: node.outputs });
    for (const tensor of result.constants) constants.set(tensor.name, tensor);
    return result.nodes;
  } catch (error) {
    if (error instanceof UnsupportedError) {
      error.message = `${functionLabel(callee)}: ${error.message}`;
    }
    throw error;
  }
}

function renameNodes(nodes: readonly Node[], call: Call, names: Names): readonly Node[] {
  for (const { outputs } of nodes) for (const output of outputs) define(output, call, names);
  return nodes.map((node) => ({
    ...node,
    name: freshName(node.name === '' ? node.opType : node.name, call),
    inputs: node.inputs.map((name) => lookUp(name, names)),
    outputs: node.outputs.map((name) => lookUp(name, names)),
    attributes: resolveAttributes(node.attributes, call, names),
  }));
}

/** The attributes of the node itself where the body refers to them, else the function's defaults. */
function resolveAttributes(
  attributes: Node['attributes'],
  call: Call,
  names: Names,
): Node['attributes'] {
  const { node, callee } = call;
  const resolved = new Map<string, Attribute>();
  for (const [name, attribute] of attributes) {
    if (attribute.kind === 'reference') {
      const given =
        node.attributes.get(attribute.value) ??
        callee.attributeDefaults.find((entry) => entry.name === attribute.value);
      if (given !== undefined) resolved.set(name, { ...given, name });
    } else if (attribute.kind === 'graph') {
      resolved.set(name, { ...attribute, value: renameGraph(attribute.value, call, names) });
    } else if (attribute.kind === 'graphs') {
      const value = attribute.value.map((graph) => renameGraph(graph, call, names));
      resolved.set(name, { ...attribute, value });
    } else resolved.set(name, attribute);
  }
  return resolved;
}

function renameGraph(graph: Graph, call: Call, outer: Names): Graph {
  const names: Names = { own: new Map(), outer };
  for (const { name } of graph.inputs) define(name, call, names);
  for (const name of graph.initializers.keys()) define(name, call, names);
  for (const { values } of graph.sparseInitializers) define(values.name, call, names);
  const nodes = renameNodes(graph.nodes, call, names);
  const renamed = (info: ValueInfo): ValueInfo => ({ ...info, name: lookUp(info.name, names) });
  const tensors = [...graph.initializers.values()].map((tensor): [string, Tensor] => {
    const name = lookUp(tensor.name, names);
    return [name, { ...tensor, name }];
  });
  return {
    ...graph,
    nodes,
    inputs: graph.inputs.map(renamed),
    outputs: graph.outputs.map(renamed),
    initializers: new Map(tensors),
    sparseInitializers: graph.sparseInitializers.map((sparse) => ({
      ...sparse,
      values: { ...sparse.values, name: lookUp(sparse.values.name, names) },
    })),
    valueInfo: new Map(
      [...graph.valueInfo.values()].map((info) => [lookUp(info.name, names), renamed(info)]),
    ),
  };
}

/** Inner graphs get fresh names, too: what they read of the caller must not be hidden by their own. */
function define(name: string, call: Call, { own }: Names): void {
  if (name !== '' && !own.has(name)) own.set(name, freshName(name, call));
}

function lookUp(name: string, names: Names): string {
  if (name === '') return '';
  for (let at: Names | undefined = names; at !== undefined; at = at.outer) {
    const found = at.own.get(name);
    if (found !== undefined) return found;
  }
  return name;
}

function freshName(name: string, { prefix, inlining }: Call): string {
  return inlining.makeName(`${prefix}/${shortened(name).replace(/^\//, '')}`);
}

function shortened(name: string): string {
  return name.length <= NAME_CHARACTERS ? name : name.slice(-NAME_CHARACTERS);
}
