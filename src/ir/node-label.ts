import type { Node } from './model.ts';

/** Returns how a node is called in messages: its name, else its operator and what it makes. */
export function nodeLabel(node: Node): string {
  return node.name === '' ? `${node.opType} -> ${node.outputs[0] ?? ''}` : node.name;
}
