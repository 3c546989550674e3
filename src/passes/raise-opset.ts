import { UnsupportedError } from '../errors.ts';
import { attributes } from '../ir/attributes.ts';
import { editGraph, nameMaker } from '../ir/edit.ts';
import { capturedByNode } from '../ir/index-uses.ts';
import {
  canonicalDomain,
  type FunctionDefinition,
  type Graph,
  type Model,
  type Node,
  opsetVersion,
} from '../ir/model.ts';
import type { Tensor } from '../ir/tensor.ts';
import { inferFacts, type ModelFacts } from './infer-facts.ts';
import { mapSubgraphs } from './map-subgraphs.ts';
import { OPSET_13_RULES } from './opset-13-rules.ts';
import { adapted, labelOf, type OpsetRule, type RaiseSite } from './opset-rule.ts';
import { LATER_OPSET_RULES } from './opset-rules.ts';

/** The oldest opset that can be raised. */
const OLDEST = 11;
const NEWEST = 21;

/** The IR versions that came with opset 19 (ONNX 1.14) and opset 21 (ONNX 1.16). */
const IR_VERSIONS = [
  { opset: 21, irVersion: 10 },
  { opset: 19, irVersion: 9 },
] as const;

const RULES: readonly OpsetRule[] = [...OPSET_13_RULES, ...LATER_OPSET_RULES];

/**
 * Returns the model in the newer opset `to` (at most 21) with the same meaning, bodies and local
 * functions included; a model that is new enough comes back as it is. What changed incompatibly since
 * opset 11 is rewritten by the rules of `opset-13-rules.ts` and `opset-rules.ts`, or refused naming
 * the node; all other operators mean the same in both. Throws {@link UnsupportedError}, also for models
 * older than opset 11. Source: Changelog.md of ONNX 1.16.
 */
export function raiseOpset(model: Model, to: number): Model {
  const from = opsetVersion(model);
  if (from === undefined || from < OLDEST || to > NEWEST) {
    throw new UnsupportedError(
      `model: cannot be raised to opset ${to} (got opset ${from ?? 'none'}, expected ${OLDEST} or ` +
        'newer). Export it again with opset 18.',
    );
  }
  if (from >= to) return model;
  const facts = inferFacts(model);
  const makeName = nameMaker(model.graph);
  const graph = adaptGraph(model.graph, {
    from,
    to,
    makeName,
    facts,
    outerRankOf: () => undefined,
  });
  return {
    ...model,
    irVersion: Math.max(model.irVersion, irVersionOf(to)),
    opsetImports: model.opsetImports.map((entry) => raisedImport(entry, to)),
    graph,
    functions: model.functions.map((definition) => raiseFunction(definition, to)),
  };
}

/** Nodes in a newer opset, and the constants that they read beside those that they read before. */
interface RaisedNodes {
  readonly nodes: readonly Node[];
  readonly constants: readonly Tensor[];
}

/**
 * Returns the nodes of a function body, written for opset `from`, as opset `to` spells them. `read` are the
 * values that others read of them. Throws {@link UnsupportedError} naming the node that cannot be raised.
 */
export function raiseNodes(
  nodes: readonly Node[],
  {
    from,
    to,
    makeName,
    read,
  }: Pick<Scope, 'from' | 'to' | 'makeName'> & { read: Iterable<string> },
): RaisedNodes {
  if (from >= to) return { nodes, constants: [] };
  if (from < OLDEST || to > NEWEST) {
    throw new UnsupportedError(
      `its opset cannot be raised to ${to} (got opset ${from}, expected ${OLDEST} to ${NEWEST}). ` +
        'Export the model again with one opset.',
    );
  }
  const scope: Scope = { from, to, makeName, facts: undefined, outerRankOf: () => undefined };
  return adaptNodes(
    nodes,
    scope,
    siteOf(nodes, read, scope, () => undefined),
  );
}

function raisedImport<Entry extends { readonly domain: string; readonly version: number }>(
  entry: Entry,
  to: number,
): Entry {
  return canonicalDomain(entry.domain) === '' ? { ...entry, version: to } : entry;
}

function irVersionOf(opset: number): number {
  return IR_VERSIONS.find((entry) => opset >= entry.opset)?.irVersion ?? 0;
}

/** A function has no initializers: what its nodes read beside its inputs becomes Constant nodes. */
function raiseFunction(definition: FunctionDefinition, to: number): FunctionDefinition {
  const { opsetImports, inputs, outputs } = definition;
  const from = opsetImports.find(({ domain }) => canonicalDomain(domain) === '')?.version;
  if (from === undefined || from >= to) return definition;
  const makeName = nameMaker({
    inputs: inputs.map((name) => ({ name })),
    initializers: new Map(),
    nodes: definition.nodes,
  });
  try {
    const raised = raiseNodes(definition.nodes, { from, to, makeName, read: outputs });
    const constants = raised.constants.map(
      (tensor): Node => ({
        name: '',
        opType: 'Constant',
        domain: '',
        inputs: [],
        outputs: [tensor.name],
        attributes: attributes({ value: tensor }),
      }),
    );
    return {
      ...definition,
      opsetImports: opsetImports.map((entry) => raisedImport(entry, to)),
      nodes: [...constants, ...raised.nodes],
    };
  } catch (error) {
    if (error instanceof Error) error.message = `function ${definition.name}: ${error.message}`;
    throw error;
  }
}

interface Scope {
  readonly from: number;
  readonly to: number;
  readonly makeName: (wanted: string) => string;
  /** Absent in functions, which say nothing of types. */
  readonly facts: ModelFacts | undefined;
  readonly outerRankOf: (value: string) => number | undefined;
}

function adaptGraph(graph: Graph, scope: Scope): Graph {
  const own = scope.facts?.of(graph);
  const rankOf = (value: string): number | undefined => {
    const known = own?.get(value);
    return known === undefined ? scope.outerRankOf(value) : known.shape?.length;
  };
  const read = graph.outputs.map(({ name }) => name);
  const site = siteOf(graph.nodes, read, scope, rankOf);
  const { nodes, constants } = adaptNodes(graph.nodes, { ...scope, outerRankOf: rankOf }, site);
  const edited = editGraph(graph, { addInitializers: constants });
  return nodes === graph.nodes ? edited : { ...edited, nodes };
}

function siteOf(
  nodes: readonly Node[],
  outputs: Iterable<string>,
  { to, makeName }: Scope,
  rankOf: (value: string) => number | undefined,
): RaiseSite {
  const read = new Set(outputs);
  for (const node of nodes) {
    for (const name of node.inputs) read.add(name);
    for (const name of capturedByNode(node)) read.add(name);
  }
  return { to, makeName, rankOf, isRead: (value) => read.has(value) };
}

function adaptNodes(nodes: readonly Node[], scope: Scope, site: RaiseSite): RaisedNodes {
  const constants: Tensor[] = [];
  const next = nodes.flatMap((original) => {
    const node = mapSubgraphs(original, (inner) => adaptGraph(inner, scope));
    const raised = canonicalDomain(node.domain) === '' ? adaptNode(node, scope, site) : undefined;
    constants.push(...(raised?.constants ?? []));
    return raised?.nodes ?? [node];
  });
  const same = next.length === nodes.length && next.every((node, index) => node === nodes[index]);
  return { nodes: same ? nodes : next, constants };
}

/** Applies the rules of all opsets between, oldest first. */
function adaptNode(node: Node, { from, to }: Scope, site: RaiseSite): RaisedNodes {
  let raised = adapted(node);
  for (const rule of RULES) {
    if (rule.opset <= from || rule.opset > to) continue;
    const steps = raised.nodes.map((step) => {
      if (!rule.opTypes.includes(step.opType)) return adapted(step);
      refuseReference(step, rule);
      return rule.adapt(step, site);
    });
    raised = {
      nodes: steps.flatMap(({ nodes }) => nodes),
      constants: [...raised.constants, ...steps.flatMap(({ constants }) => constants)],
    };
  }
  return raised;
}

/** In a function an attribute may stand for one of the call: then its value is not known here. */
function refuseReference(node: Node, { opset, reads }: OpsetRule): void {
  const open = reads.find((name) => node.attributes.get(name)?.kind === 'reference');
  if (open === undefined) return;
  throw new UnsupportedError(
    `${labelOf(node)}: its attribute "${open}" comes from the call of a function, so it cannot be raised ` +
      `to opset ${opset}. Export the model again with that opset.`,
  );
}
