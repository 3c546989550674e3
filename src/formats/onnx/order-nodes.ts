import { capturedByNode } from '../../ir/index-uses.ts';
import type { Node } from '../../ir/model.ts';
import { refuse } from './refuse.ts';

/**
 * Returns the nodes of one graph so that each stands behind the nodes it reads from: the same
 * list when that is already so, else the stable topological order. `where` names the graph. Throws
 * FormatError when two nodes make one value, or nodes depend on themselves.
 */
export function orderNodes(nodes: readonly Node[], where: string): readonly Node[] {
  const producers = new Map<string, number>();
  nodes.forEach((node, index) => {
    for (const output of node.outputs) {
      if (output === '') continue;
      if (producers.has(output)) refuse(where, `two nodes make the value "${output}"`);
      producers.set(output, index);
    }
  });
  const dependencies = nodes.map((node) => dependenciesOf(node, producers));
  const inOrder = dependencies.every((before, index) => before.every((other) => other < index));
  return inOrder ? nodes : sort(nodes, dependencies, where);
}

function dependenciesOf(node: Node, producers: ReadonlyMap<string, number>): readonly number[] {
  const before = new Set<number>();
  for (const name of [...node.inputs, ...capturedByNode(node)]) {
    const producer = producers.get(name);
    if (producer !== undefined) before.add(producer);
  }
  return [...before];
}

/**
 * Depth first from each node in file order, without recursion: a graph may be 100,000 nodes deep.
 */
function sort(
  nodes: readonly Node[],
  dependencies: readonly (readonly number[])[],
  where: string,
): readonly Node[] {
  const sorted: Node[] = [];
  const state = new Uint8Array(nodes.length);
  const [open, done] = [1, 2];
  for (let root = 0; root < nodes.length; root++) {
    if (state[root] === done) continue;
    const path = [{ index: root, next: 0 }];
    state[root] = open;
    for (let step = path.at(-1); step !== undefined; step = path.at(-1)) {
      const before = dependencies[step.index]?.[step.next++];
      if (before === undefined) {
        sorted.push(nodes[step.index]!);
        state[step.index] = done;
        path.pop();
      } else if (state[before] === open) {
        const cycle = path.slice(path.findIndex(({ index }) => index === before));
        refuseCycle(cycle.map(({ index }) => nodes[index]!).reverse(), where);
      } else if (state[before] !== done) {
        state[before] = open;
        path.push({ index: before, next: 0 });
      }
    }
  }
  return sorted;
}

function refuseCycle(cycle: readonly Node[], where: string): never {
  const names = cycle.map((node) => node.name || `${node.opType} of "${node.outputs[0] ?? ''}"`);
  const shown = names.length > 4 ? [...names.slice(0, 3), '...'] : names;
  refuse(where, `nodes depend on themselves (${[...shown, names[0]].join(' -> ')})`);
}
