import { capturedByNode, indexUses } from '../ir/index-uses.ts';
import type { Graph, Node } from '../ir/model.ts';
import { constantNodes } from '../passes/constant-nodes.ts';
import { bytesInFloat32 } from '../passes/widen-type.ts';

/** Which part of a cut model computes what. */
export interface PartAssignment {
  readonly count: number;
  /** Nodes that depend on the inputs and that some wanted value needs. */
  readonly partOf: ReadonlyMap<Node, number>;
  readonly producers: ReadonlyMap<string, Node>;
  /** Says whether a node depends on constants alone; such nodes belong to every part. */
  isConstant(node: Node): boolean;
}

/**
 * Gives every node that `values` need to a part: the first whose cut value depends on it, and the
 * last for what lies behind all cuts. Neighbouring parts are joined while their constants together
 * stay below `partBytes`.
 */
export function assignParts(
  graph: Graph,
  cuts: readonly string[],
  values: readonly string[],
  partBytes: number,
): PartAssignment {
  const { producers } = indexUses(graph);
  const constant = constantNodes(graph);
  const needed = new Set<Node>();
  for (const name of values) visitAncestors(name, producers, needed);
  const fine = new Map<Node, number>();
  [...cuts.map((name) => [name]), values].forEach((targets, part) => {
    const found = new Set<Node>(fine.keys());
    for (const name of targets) visitAncestors(name, producers, found);
    for (const node of found) {
      if (!fine.has(node) && needed.has(node) && !constant.has(node)) fine.set(node, part);
    }
  });
  const joined = joinParts(graph, { fine, producers, constant, count: cuts.length + 1 }, partBytes);
  return {
    count: Math.max(...joined) + 1,
    partOf: new Map([...fine].map(([node, part]) => [node, joined[part]!])),
    producers,
    isConstant: (node) => constant.has(node),
  };
}

/** Adds the producers of a value, all the way up, to `found`; stops at those already there. */
function visitAncestors(
  start: string,
  producers: ReadonlyMap<string, Node>,
  found: Set<Node>,
): void {
  const waiting = [start];
  for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
    const node = producers.get(name);
    if (node === undefined || found.has(node)) continue;
    found.add(node);
    waiting.push(...node.inputs, ...capturedByNode(node));
  }
}

interface FineParts {
  readonly fine: ReadonlyMap<Node, number>;
  readonly producers: ReadonlyMap<string, Node>;
  readonly constant: ReadonlySet<Node>;
  readonly count: number;
}

/** Returns the joined part of each fine one. */
function joinParts(graph: Graph, parts: FineParts, partBytes: number): readonly number[] {
  const sizes = constantBytes(graph, parts);
  const joined: number[] = [];
  let part = 0;
  let size = 0;
  for (const own of sizes) {
    if (size > 0 && own > 0 && size + own > partBytes) {
      part += 1;
      size = 0;
    }
    size += own;
    joined.push(part);
  }
  return joined;
}

/** Bytes of the constants that each fine part reads, float16 as the float32 it is computed in. */
function constantBytes(
  graph: Graph,
  { fine, producers, constant, count }: FineParts,
): readonly number[] {
  const names = Array.from({ length: count }, () => new Set<string>());
  for (const [node, part] of fine) {
    const waiting = [...node.inputs, ...capturedByNode(node)];
    for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
      if (names[part]!.has(name)) continue;
      const producer = producers.get(name);
      if (producer !== undefined && !constant.has(producer)) continue;
      names[part]!.add(name);
      if (producer !== undefined) waiting.push(...producer.inputs, ...capturedByNode(producer));
    }
  }
  return names.map((read) =>
    [...read].reduce((sum, name) => {
      const tensor = graph.initializers.get(name);
      return tensor === undefined ? sum : sum + bytesInFloat32(tensor);
    }, 0),
  );
}
