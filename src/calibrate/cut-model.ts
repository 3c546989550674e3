import { capturedByNode } from '../ir/index-uses.ts';
import type { Model, Node, ValueInfo } from '../ir/model.ts';
import { inferFacts, type ModelFacts } from '../passes/infer-facts.ts';
import { findBlocks } from '../structure/find-blocks.ts';
import { assignParts, type PartAssignment } from './assign-parts.ts';
import { tapValues } from './tap-values.ts';

/** A piece of a model that can run alone, once the pieces before it have run. */
export interface ModelPart {
  /** Computes `outputs`, then `boundary`; its inputs are exactly `inputs`. */
  readonly model: Model;
  /** Inputs of the whole model and values of earlier parts that it reads. */
  readonly inputs: readonly string[];
  /** Values to observe that it computes. */
  readonly outputs: readonly string[];
  /** Values that later parts read. */
  readonly boundary: readonly string[];
}

/**
 * Cuts a model at its residual stream into parts that compute `values` between them, each with at
 * most `partBytes` of constants (float32 size) unless one block alone has more. What several blocks
 * share (mask, positions, rotary tables) is computed in the first that needs it and handed on;
 * what depends on constants alone is computed again by each. Nothing is computed that no value
 * needs, so a language model's head is left out. Returns undefined when the model cannot be cut: it has no
 * recognised blocks, or a value on the border is no tensor of known type. `like` is a model of the same value
 * names whose blocks are recognised, for one that was rewritten past recognition.
 */
export function cutModel(
  model: Model,
  values: readonly string[],
  partBytes: number,
  like: Model = model,
): readonly ModelPart[] | undefined {
  const cuts = cutValues(model, like);
  if (cuts.length === 0) return undefined;
  const facts = inferFacts(model);
  const assignment = assignParts(model.graph, cuts, values, partBytes);
  if (assignment.count < 2) return undefined;
  const crossing = findCrossing(assignment);
  const typed = [...crossing.keys()].every((name) => {
    const dataType = facts.of(model.graph).get(name)?.dataType;
    return dataType !== undefined && dataType !== 'bfloat16' && dataType !== 'string';
  });
  if (!typed) return undefined;
  return Array.from({ length: assignment.count }, (_, part) =>
    makePart(model, facts, part, { assignment, crossing, values }),
  );
}

/** Where the residual stream enters the first block, and where each block hands it on. */
function cutValues(model: Model, like: Model): readonly string[] {
  const produced = new Set(model.graph.nodes.flatMap(({ outputs }) => outputs));
  const blocks = findBlocks(like);
  const names = [...blocks.slice(0, 1).map(({ input }) => input), ...blocks.map((b) => b.output)];
  return [...new Set(names)].filter((name) => produced.has(name));
}

/** Values that one part computes and later ones read, with those parts. */
type Crossing = ReadonlyMap<string, ReadonlySet<number>>;

function findCrossing({ partOf, producers }: PartAssignment): Crossing {
  const crossing = new Map<string, Set<number>>();
  for (const [node, part] of partOf) {
    for (const name of readBy(node)) {
      const producer = producers.get(name);
      const from = producer === undefined ? undefined : partOf.get(producer);
      if (from === undefined || from === part) continue;
      const readers = crossing.get(name);
      if (readers === undefined) crossing.set(name, new Set([part]));
      else readers.add(part);
    }
  }
  return crossing;
}

function readBy(node: Node): readonly string[] {
  return [...node.inputs, ...capturedByNode(node)].filter((name) => name !== '');
}

interface Cut {
  readonly assignment: PartAssignment;
  readonly crossing: Crossing;
  readonly values: readonly string[];
}

function makePart(
  model: Model,
  facts: ModelFacts,
  part: number,
  { assignment, crossing, values }: Cut,
): ModelPart {
  const { partOf, producers, isConstant } = assignment;
  const { graph } = model;
  const own = (name: string): boolean => partOf.get(producers.get(name) as Node) === part;
  const last = assignment.count - 1;
  const outputs = values.filter((name) => {
    const producer = producers.get(name);
    if (producer === undefined) return part === last && graph.initializers.has(name);
    return isConstant(producer) ? part === last : own(name);
  });
  const boundary = [...crossing.keys()].filter(own);
  const typed = (name: string): ValueInfo => {
    const { dataType, shape } = facts.of(graph).get(name) ?? {};
    if (dataType === undefined) return { name };
    // Of the shape only the rank, which fusions ask for: a wrong size would be refused at run time.
    const rank = shape?.map(() => undefined);
    return { name, type: { kind: 'tensor', dataType, ...(rank && { shape: rank }) } };
  };
  const entering = [...crossing].filter(([, readers]) => readers.has(part)).map(([name]) => name);
  const tapped = tapValues(
    {
      ...model,
      graph: {
        ...graph,
        nodes: graph.nodes.filter((node) => partOf.get(node) === part || isConstant(node)),
        inputs: [...graph.inputs, ...entering.map(typed)],
        outputs: [],
        valueInfo: new Map(
          [...new Set([...outputs, ...boundary])].map((name) => [name, typed(name)]),
        ),
      },
    },
    [...new Set([...outputs, ...boundary])],
  );
  const read = new Set(tapped.graph.nodes.flatMap(readBy));
  const inputs = tapped.graph.inputs.filter(({ name }) => read.has(name));
  const given = new Set(outputs);
  const initializers = [...tapped.graph.initializers].filter(
    ([name]) => read.has(name) || given.has(name),
  );
  return {
    model: {
      ...tapped,
      graph: { ...tapped.graph, inputs, initializers: new Map(initializers) },
    },
    inputs: inputs.map(({ name }) => name).filter((name) => !graph.initializers.has(name)),
    outputs,
    boundary,
  };
}
