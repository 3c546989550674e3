import type { DataType } from '../ir/data-type.ts';
import type { Dim, Graph, Model, Node, ValueInfo } from '../ir/model.ts';
import { canonicalDomain } from '../ir/model.ts';
import { findOp } from '../ops/index.ts';
import { evaluated, type Facts, type InferContext, UNKNOWN } from '../ops/op-spec.ts';
import { tensorFacts } from '../ops/tensor-elements.ts';

/** A value whose declared element type is not the one its operator makes. */
export interface TypeContradiction {
  readonly value: string;
  readonly node: Node;
  readonly declared: DataType;
  readonly inferred: DataType;
}

/** What is known about every value of a model without running it. */
export interface ModelFacts {
  /** Where the file contradicts itself in element types, bodies included: onnxruntime loads no such model. */
  readonly contradictions: readonly TypeContradiction[];
  /** Facts of the values that a graph of the model itself defines. */
  of(graph: Graph): ReadonlyMap<string, Facts>;
}

/** Names visible in a graph: its own facts, then those of the graphs around it. */
interface Scope {
  readonly facts: Map<string, Facts>;
  readonly outer: Scope | undefined;
  /** Found so far in the whole model. */
  readonly contradictions: TypeContradiction[];
}

/**
 * Returns types, shapes and small values of all values, by one walk through the nodes in order,
 * bodies included. What the file declares is believed where inference knows less, not where it
 * contradicts it: converters and surgery leave stale types behind, with which onnxruntime runs all the same.
 */
export function inferFacts(model: Model): ModelFacts {
  const found = known.get(model) ?? findFacts(model);
  known.set(model, found);
  return found;
}

/** Models do not change, so their facts are found once. */
const known = new WeakMap<Model, ModelFacts>();

function findFacts(model: Model): ModelFacts {
  const byGraph = new Map<Graph, ReadonlyMap<string, Facts>>();
  const versions = new Map(
    model.opsetImports.map((entry) => [canonicalDomain(entry.domain), entry.version]),
  );
  const contradictions: TypeContradiction[] = [];
  const walk = (graph: Graph, inputs: readonly Facts[], outer: Scope | undefined): Scope => {
    const scope: Scope = { facts: new Map(), outer, contradictions };
    byGraph.set(graph, scope.facts);
    graph.inputs.forEach((input, index) => {
      const given = inputs[index] ?? UNKNOWN;
      scope.facts.set(input.name, mergeFacts(given, declaredFacts(input)));
    });
    for (const [name, tensor] of graph.initializers) scope.facts.set(name, tensorFacts(tensor));
    const declared = new Map(graph.valueInfo);
    for (const output of graph.outputs) declared.set(output.name, output);
    for (const node of graph.nodes) inferNode(node, scope, declared, versions, walk);
    return scope;
  };
  walk(model.graph, [], undefined);
  return { contradictions, of: (graph) => byGraph.get(graph) ?? new Map() };
}

type Walk = (graph: Graph, inputs: readonly Facts[], outer: Scope | undefined) => Scope;

function inferNode(
  node: Node,
  scope: Scope,
  declared: ReadonlyMap<string, ValueInfo>,
  versions: ReadonlyMap<string, number>,
  walk: Walk,
): void {
  const spec = findOp(node.domain, node.opType);
  const context: InferContext = {
    opset: versions.get(canonicalDomain(node.domain)) ?? 1,
    inferBody(graph, inputs) {
      const inner = walk(graph, inputs, scope);
      return graph.outputs.map((output) => lookUp(inner, output.name));
    },
  };
  const inputs = node.inputs.map((name) => (name === '' ? UNKNOWN : lookUp(scope, name)));
  const outputs = spec?.infer(node, inputs, context) ?? [];
  node.outputs.forEach((name, index) => {
    if (name === '') return;
    const [found, said] = [outputs[index] ?? UNKNOWN, declaredFacts(declared.get(name))];
    scope.facts.set(name, mergeFacts(found, said));
    const [inferred, type] = [found.dataType, said.dataType];
    if (inferred !== undefined && type !== undefined && inferred !== type) {
      scope.contradictions.push({ value: name, node, declared: type, inferred });
    }
  });
}

function lookUp(scope: Scope | undefined, name: string): Facts {
  for (let at = scope; at !== undefined; at = at.outer) {
    const facts = at.facts.get(name);
    if (facts !== undefined) return facts;
  }
  return UNKNOWN;
}

/** Returns what a declared type says. */
export function declaredFacts(info: ValueInfo | undefined): Facts {
  const type = info?.type;
  if (type?.kind !== 'tensor') return UNKNOWN;
  return { dataType: type.dataType, shape: type.shape };
}

/** The more precise of both; in a contradiction of numbers or ranks inference wins. */
function mergeFacts(inferred: Facts, declared: Facts): Facts {
  if (declared.dataType === undefined && declared.shape === undefined) return inferred;
  const dataType = declared.dataType ?? inferred.dataType;
  const shape = mergeShapes(inferred.shape, declared.shape, 'inferred');
  return inferred.shape === undefined
    ? { dataType, shape }
    : evaluated(dataType, shape, inferred.elements);
}

/**
 * Returns the merged shape. Inferred numbers and ranks beat declared ones, numbers beat symbols, symbols beat nothing; of two symbols the one
 * from `symbols` is kept: inferred ones can be calculated with, declared ones are the author's.
 */
export function mergeShapes(
  inferred: readonly Dim[] | undefined,
  declared: readonly Dim[] | undefined,
  symbols: 'inferred' | 'declared',
): readonly Dim[] | undefined {
  if (declared === undefined) return inferred;
  if (inferred === undefined) return declared;
  if (inferred.length !== declared.length) return inferred;
  return declared.map((dim, axis) => {
    const other = inferred[axis];
    if (typeof other === 'number') return other;
    if (typeof dim === 'number') return dim;
    if (dim === undefined) return other;
    return symbols === 'inferred' ? (other ?? dim) : dim;
  });
}
