import type { Node } from '../../ir/model.ts';
import { nodeLabel } from '../../ir/node-label.ts';
import { type GraphView, isOp } from '../../passes/graph-view.ts';
import type { LinearLayer } from '../../structure/linear-layer.ts';
import type { LayerIndex } from '../../structure/trace.ts';
import { areDisjoint, pickedRange } from './picked-range.ts';

/** Output channels `[first, first + count)` of a layer. */
export interface TracedChannels {
  readonly layer: LinearLayer;
  readonly first: number;
  readonly count: number;
}

/** Why something cannot be folded: the node in the way and a sentence about it. */
export interface Obstacle {
  readonly node: string;
  readonly reason: string;
}

/** Says whether a node hands on its first input with the last axis as it was. */
export function keepsLastAxis(view: GraphView, node: Node): boolean {
  if (isOp(node, 'Identity', 'Cast', 'Dropout')) return true;
  if (!isOp(node, 'Reshape', 'Flatten', 'Squeeze', 'Unsqueeze')) return false;
  const [before, after] = [node.inputs[0] ?? '', node.outputs[0] ?? ''].map((name) =>
    view.facts(name).shape?.at(-1),
  );
  return typeof before === 'number' && before === after;
}

/**
 * Returns the layer whose output channels a value `width` wide is, if nobody else reads those
 * channels on the way: Casts, reshapes and cuts along the last axis may lie between.
 */
export function traceChannels(
  view: GraphView,
  index: LayerIndex,
  value: string,
  width: number,
  reader: Node,
): TracedChannels | Obstacle {
  let first = 0;
  let from = reader;
  for (let at = value; ; ) {
    const other = otherReader(view, at, from);
    if (other !== undefined) return other;
    const layer = index.byOutput.get(at);
    if (layer?.output === at) return { layer, first, count: width };
    const node = view.producer(at);
    if (node === undefined) return { node: nodeLabel(reader), reason: `no layer makes ${value}` };
    if (!keepsLastAxis(view, node)) {
      const range = pickedRange(view, node, at);
      const rank = view.facts(node.inputs[0] ?? '').shape?.length ?? 0;
      if (range === undefined || range.axis !== rank - 1 || range.drops) {
        return { node: nodeLabel(node), reason: `a scale does not pass ${node.opType}` };
      }
      first += range.first;
    }
    from = node;
    at = node.inputs[0] ?? '';
  }
}

/**
 * Returns what else sees the elements of `value` that `reader` reads: a node, a subgraph, or the
 * caller of the model. Nodes that cut other elements out of it are no obstacle.
 */
export function otherReader(view: GraphView, value: string, reader: Node): Obstacle | undefined {
  if (view.isOutput(value)) {
    return { node: nodeLabel(reader), reason: `${value} is an output of the model` };
  }
  const own = pickedRange(view, reader, reader.outputs[0] ?? '');
  for (const { node } of view.uses(value)) {
    if (node === reader || isOp(node, 'Shape')) continue;
    const theirs = isOp(node, 'Slice', 'Gather')
      ? pickedRange(view, node, node.outputs[0] ?? '')
      : undefined;
    if (own !== undefined && theirs !== undefined && areDisjoint(own, theirs)) continue;
    return { node: nodeLabel(node), reason: `${node.opType} reads ${value} too` };
  }
  return undefined;
}
