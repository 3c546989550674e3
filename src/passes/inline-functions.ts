import { UnsupportedError } from '../errors.ts';
import { editGraph, nameMaker } from '../ir/edit.ts';
import {
  canonicalDomain,
  type FunctionDefinition,
  type Graph,
  type Model,
  type Node,
  type OpsetImport,
  opsetVersion,
} from '../ir/model.ts';
import {
  allNodes,
  calledFunctions,
  type FunctionLibrary,
  functionLabel,
  functionLibrary,
  functionOpset,
} from './function-library.ts';
import { type Inlining, instantiateFunction } from './instantiate-function.ts';
import { mapSubgraphs } from './map-subgraphs.ts';
import type { Pass } from './pass.ts';
import { raiseOpset } from './raise-opset.ts';

/**
 * Puts the bodies of local functions in place of their calls, in bodies too:
 * `y = pkg.Linear(x, w)` with `Linear (a, b) => (c) { c = MatMul(a, b) }` -> `y = MatMul(x, w)`. Where
 * functions and model are written for several opsets of ai.onnx, all is raised to the newest. Functions
 * that nothing calls go. A function named like an operator that onnxruntime knows itself is not called,
 * because onnxruntime takes its own; it stays. Throws FormatError for functions that call themselves or
 * stand for too much, UnsupportedError naming function and node where a body cannot be raised.
 */
export const inlineFunctions: Pass = {
  name: 'inline-functions',
  description: 'puts the bodies of local functions in place of their calls',
  run(model) {
    if (model.functions.length === 0) return model;
    const library = functionLibrary(model);
    const own = opsetVersion(model) ?? 0;
    const called = calledFunctions(model.graph, library, own);
    const functions = keptFunctions(model, called, library);
    if (called.size === 0 && functions.length === model.functions.length) return model;
    const imports = mergeImports(model, called, library);
    const opset = Math.max(own, ...[...called].map((callee) => functionOpset(callee) ?? 0));
    const bare = { ...model, functions };
    const raised = own === 0 || opset === own ? bare : raiseOpset(bare, opset);
    const inlining: Inlining = {
      opset,
      makeName: nameMaker(raised.graph),
      constants: new Map(),
      shared: new Map(),
    };
    const graph = expandGraph(raised.graph, { library, inlining, opset: own });
    const whole = editGraph(graph, { addInitializers: inlining.constants.values() });
    return { ...raised, graph: whole, opsetImports: usedImports(imports, opset, whole, called) };
  },
};

interface Expansion {
  readonly library: FunctionLibrary;
  readonly inlining: Inlining;
  /** The opset that the nodes are written in: it decides which names are operators. */
  readonly opset: number;
}

function expandGraph(graph: Graph, expansion: Expansion): Graph {
  const nodes = expandNodes(graph.nodes, expansion);
  return nodes === graph.nodes ? graph : { ...graph, nodes };
}

function expandNodes(nodes: readonly Node[], expansion: Expansion): readonly Node[] {
  const { library, inlining, opset } = expansion;
  let changed = false;
  const next = nodes.flatMap((original): readonly Node[] => {
    const node = mapSubgraphs(original, (body) => expandGraph(body, expansion));
    const callee = library.calleeOf(node, opset);
    changed ||= node !== original || callee !== undefined;
    if (callee === undefined) return [node];
    const inner = { ...expansion, opset: functionOpset(callee) ?? opset };
    return expandNodes(instantiateFunction(node, callee, inlining), inner);
  });
  return changed ? next : nodes;
}

/** Returns the functions whose names stay in the model, as operators of the runtime, with all that they name. */
function keptFunctions(
  model: Model,
  called: ReadonlySet<FunctionDefinition>,
  library: FunctionLibrary,
): readonly FunctionDefinition[] {
  const kept = new Set<FunctionDefinition>();
  const keep = (nodes: readonly Node[], opset: number, inKept: boolean): void => {
    for (const node of allNodes(nodes)) {
      const found = library.namesakeOf(node);
      const isCall = !inKept && library.calleeOf(node, opset) !== undefined;
      if (found === undefined || isCall || kept.has(found)) continue;
      kept.add(found);
      keep(found.nodes, functionOpset(found) ?? opset, true);
    }
  };
  const own = opsetVersion(model) ?? 0;
  keep(model.graph.nodes, own, false);
  for (const callee of called) keep(callee.nodes, functionOpset(callee) ?? own, false);
  return model.functions.filter((definition) => kept.has(definition));
}

/** Returns the model's imports with those of its functions. Only ai.onnx may come in several versions. */
function mergeImports(
  { opsetImports }: Model,
  called: ReadonlySet<FunctionDefinition>,
  library: FunctionLibrary,
): readonly OpsetImport[] {
  const merged = new Map(opsetImports.map((entry) => [canonicalDomain(entry.domain), entry]));
  for (const callee of called) {
    for (const entry of callee.opsetImports) {
      const domain = canonicalDomain(entry.domain);
      const known = merged.get(domain);
      if (known === undefined) merged.set(domain, entry);
      if (known === undefined || known.version === entry.version || domain === '') continue;
      const node = [...allNodes(callee.nodes)].find(
        (inner) =>
          canonicalDomain(inner.domain) === domain &&
          library.calleeOf(inner, functionOpset(callee) ?? 0) === undefined,
      );
      if (node === undefined) continue;
      throw new UnsupportedError(
        `${functionLabel(callee)}: node ${node.name} (${node.opType}) is of another version of ${domain} than the ` +
          `model (got ${entry.version}, expected ${known.version}). Export the model again with one version.`,
      );
    }
  }
  return [...merged.values()];
}

/** Leaves out the domains of functions of which no node is left. */
function usedImports(
  imports: readonly OpsetImport[],
  opset: number,
  graph: Graph,
  called: ReadonlySet<FunctionDefinition>,
): readonly OpsetImport[] {
  const used = new Set([...allNodes(graph.nodes)].map(({ domain }) => canonicalDomain(domain)));
  const inlined = new Set([...called].map(({ domain }) => canonicalDomain(domain)));
  return imports
    .map((entry) => (canonicalDomain(entry.domain) === '' ? { ...entry, version: opset } : entry))
    .filter(({ domain }) => {
      const canonical = canonicalDomain(domain);
      return canonical === '' || used.has(canonical) || !inlined.has(canonical);
    });
}
