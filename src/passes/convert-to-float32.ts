import { attributes, intAttribute, tensorAttribute } from '../ir/attributes.ts';
import type { DataType } from '../ir/data-type.ts';
import { nameMaker } from '../ir/edit.ts';
import { capturedByNode, indexUses, type UseIndex } from '../ir/index-uses.ts';
import type { FunctionDefinition, Graph, Node } from '../ir/model.ts';
import type { Tensor } from '../ir/tensor.ts';
import { inferFacts, type ModelFacts } from './infer-facts.ts';
import { mapAttributes, mapSubgraphs } from './map-subgraphs.ts';
import type { Pass } from './pass.ts';
import { widenTensor } from './widen-tensor.ts';
import { isNarrowFloat, widenInfo, widenInfos, widenType } from './widen-type.ts';

/**
 * Constants above this many bytes stay as they are in the file and are widened by a Cast, which
 * runtimes fold when they load: the file keeps its size and the weights stay slices of it.
 */
const MAX_WIDENED_BYTES = 4096;

const FLOAT = 1n;
const FLOAT16 = 10n;
const BFLOAT16 = 16n;

/** Integer attributes that name an element type. */
const TYPE_ATTRIBUTES: ReadonlySet<string> = new Set([
  'to',
  'dtype',
  'output_dtype',
  'output_datatype',
  'precision',
  'softmax_precision',
  'stash_type',
]);

/**
 * Makes the float32 twin of a float16 or bfloat16 model: inputs, outputs, KV caches and every
 * intermediate become float32; weights keep their 16 bits.
 * `MatMul(x: float16, W: float16)` -> `MatMul(x: float32, Cast(W, to: float32))`.
 * Casts between these types vanish. A model of float32 alone comes back as it is.
 */
export const convertToFloat32: Pass = {
  name: 'convert-to-float32',
  description: 'computes in float32 what the model computes in 16 bits; weights keep their type',
  run(model) {
    const graph = convertGraph(model.graph, {
      facts: inferFacts(model),
      makeName: nameMaker(model.graph),
      outer: undefined,
    });
    const functions = mapAll(model.functions, convertFunction);
    if (graph === model.graph && functions === model.functions) return model;
    return { ...model, graph, functions };
  },
};

/** What a graph sees of the conversion around it. */
interface Scope {
  readonly facts: ModelFacts;
  readonly makeName: (wanted: string) => string;
  readonly outer: GraphScope | undefined;
}

interface GraphScope {
  typeOf(name: string): DataType | undefined;
  /** The name under which readers find a value now. */
  renamed(name: string): string;
  /** Says whether the value is still 16 bits wide. */
  isKept(name: string): boolean;
}

function convertGraph(graph: Graph, scope: Scope): Graph {
  const own = scope.facts.of(graph);
  const uses = indexUses(graph);
  const renames = new Map<string, string>();
  const kept = new Set<string>();
  const inner: GraphScope = {
    typeOf: (name) => own.get(name)?.dataType ?? scope.outer?.typeOf(name),
    renamed: (name) => renames.get(name) ?? scope.outer?.renamed(name) ?? name,
    isKept: (name) => kept.has(name) || (!own.has(name) && (scope.outer?.isKept(name) ?? false)),
  };
  const state: GraphState = {
    ...scope,
    uses,
    renames,
    kept,
    scope: inner,
    casts: new Map(),
    dropped: new Set(),
  };
  const initializers = convertInitializers(graph, state);
  const nodes = convertNodes(graph.nodes, state);
  const inputs = mapAll(graph.inputs, widenInfo);
  // A body may give out an outer value by name; that of the main graph never changes.
  const outputs = mapAll(graph.outputs, (output) => {
    const name = inner.renamed(output.name);
    return widenInfo(name === output.name ? output : { ...output, name });
  });
  const valueInfo = widenInfos(graph.valueInfo, kept, state.dropped);
  const same =
    initializers === graph.initializers &&
    nodes === graph.nodes &&
    inputs === graph.inputs &&
    outputs === graph.outputs &&
    valueInfo === graph.valueInfo;
  return same ? graph : { ...graph, initializers, nodes, inputs, outputs, valueInfo };
}

interface GraphState extends Scope {
  readonly uses: UseIndex;
  readonly renames: Map<string, string>;
  readonly kept: Set<string>;
  readonly scope: GraphScope;
  /** Casts of kept initializers that wait for their first reader. */
  readonly casts: Map<string, Node>;
  /** Outputs of Casts that are gone. */
  readonly dropped: Set<string>;
}

function convertInitializers(graph: Graph, state: GraphState): Graph['initializers'] {
  const inputs = new Set(graph.inputs.map(({ name }) => name));
  let next: Map<string, Tensor> | undefined;
  for (const [name, tensor] of graph.initializers) {
    if (!isNarrowFloat(tensor.dataType)) continue;
    const isInterface = inputs.has(name) || state.uses.outputs.has(name);
    if (!isInterface && staysNarrow(tensor)) {
      keepNarrow(name, state);
      continue;
    }
    next ??= new Map(graph.initializers);
    next.set(name, widenTensor(tensor));
  }
  return next ?? graph.initializers;
}

/** Vectors are norm weights and biases: small, and read as they are by fused operators. */
function staysNarrow(tensor: Tensor): boolean {
  return tensor.dims.length > 1 && tensor.source.byteLength > MAX_WIDENED_BYTES;
}

/** Plans a Cast for the readers of a 16-bit constant, unless Casts are all that reads it. */
function keepNarrow(name: string, state: GraphState): void {
  state.kept.add(name);
  const readers = state.uses.uses.get(name) ?? [];
  if (readers.length === 0 || readers.every(({ node }) => castTarget(node) === FLOAT)) return;
  const output = state.makeName(`${name}_float32`);
  state.renames.set(name, output);
  state.casts.set(name, {
    name: state.makeName(`${name}_to_float32`),
    opType: 'Cast',
    domain: '',
    inputs: [name],
    outputs: [output],
    attributes: attributes({ to: FLOAT }),
  });
}

function castTarget(node: Node): bigint | undefined {
  if (node.opType !== 'Cast' || node.domain !== '') return undefined;
  const to = intAttribute(node, 'to');
  return to === undefined ? undefined : BigInt(to);
}

function convertNodes(nodes: readonly Node[], state: GraphState): readonly Node[] {
  const next: Node[] = [];
  for (const node of nodes) {
    next.push(...castsFor(node, state));
    if (isRedundantCast(node, state)) {
      const [output = ''] = node.outputs;
      state.renames.set(output, state.scope.renamed(node.inputs[0] ?? ''));
      state.dropped.add(output);
      continue;
    }
    next.push(convertNode(node, state));
    const constant = node.opType === 'Constant' ? tensorAttribute(node, 'value') : undefined;
    const [output = ''] = node.outputs;
    if (constant !== undefined && isLargeConstant(constant, output, state)) {
      keepNarrow(output, state);
    }
  }
  const same = next.length === nodes.length && next.every((node, index) => node === nodes[index]);
  return same ? nodes : next;
}

function isLargeConstant(tensor: Tensor, output: string, state: GraphState): boolean {
  return isNarrowFloat(tensor.dataType) && staysNarrow(tensor) && !state.uses.outputs.has(output);
}

/** The waiting Casts whose constants the node is the first to read, itself or in its bodies. */
function castsFor(node: Node, state: GraphState): readonly Node[] {
  if (state.casts.size === 0) return [];
  const casts: Node[] = [];
  for (const name of [...node.inputs, ...capturedByNode(node)]) {
    const cast = state.casts.get(name);
    if (cast === undefined) continue;
    state.casts.delete(name);
    casts.push(cast);
  }
  return casts;
}

/** A Cast whose input is float32 by now, and whose output is no graph output. */
function isRedundantCast(node: Node, state: GraphState): boolean {
  const to = castTarget(node);
  const [input = ''] = node.inputs;
  const isFloat = to === FLOAT || to === FLOAT16 || to === BFLOAT16;
  if (!isFloat || state.uses.outputs.has(node.outputs[0] ?? '')) return false;
  const from = state.scope.typeOf(input);
  const widened = state.scope.renamed(input) !== input || !state.scope.isKept(input);
  // A Cast of float32 to 16 bits rounds; in the twin it rounds no more, so it vanishes as well.
  return widened && (isNarrowFloat(from) || from === 'float32');
}

function convertNode(node: Node, state: GraphState): Node {
  const large = node.opType === 'Constant' ? tensorAttribute(node, 'value') : undefined;
  const keeps = large !== undefined && isLargeConstant(large, node.outputs[0] ?? '', state);
  const converted = keeps ? node : convertAttributes(node);
  const bodies = mapSubgraphs(converted, (body) =>
    convertGraph(body, { ...state, outer: state.scope }),
  );
  const inputs = mapAll(bodies.inputs, (name) => state.scope.renamed(name));
  return inputs === bodies.inputs ? bodies : { ...bodies, inputs };
}

function convertAttributes(node: Node): Node {
  return mapAttributes(node, (attribute) => {
    if (attribute.kind === 'tensor' && isNarrowFloat(attribute.value.dataType)) {
      return { ...attribute, value: widenTensor(attribute.value) };
    }
    if (attribute.kind === 'type') {
      const value = widenType(attribute.value);
      return value === attribute.value ? attribute : { ...attribute, value };
    }
    if (attribute.kind !== 'int') return attribute;
    if (attribute.value !== FLOAT16 && attribute.value !== BFLOAT16) return attribute;
    return TYPE_ATTRIBUTES.has(attribute.name) ? { ...attribute, value: FLOAT } : attribute;
  });
}

/** Functions carry no types of their own: their constants and casts follow the caller's. */
function convertFunction(definition: FunctionDefinition): FunctionDefinition {
  const convert = (node: Node): Node => mapSubgraphs(convertAttributes(node), convertBody);
  const convertBody = (graph: Graph): Graph => {
    const nodes = mapAll(graph.nodes, convert);
    return nodes === graph.nodes ? graph : { ...graph, nodes };
  };
  const nodes = mapAll(definition.nodes, convert);
  const valueInfo = widenInfos(definition.valueInfo);
  const same = nodes === definition.nodes && valueInfo === definition.valueInfo;
  return same ? definition : { ...definition, nodes, valueInfo };
}

/** Returns the list itself when nothing in it changes. */
function mapAll<Item>(items: readonly Item[], change: (item: Item) => Item): readonly Item[] {
  const next = items.map(change);
  return next.every((item, index) => item === items[index]) ? items : next;
}
