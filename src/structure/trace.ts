import type { Node } from '../ir/model.ts';
import {
  dataInputs,
  type GraphView,
  isMoving,
  isOp,
  isTransparent,
  searchByLevels,
} from '../passes/graph-view.ts';
import type { LinearLayer } from './linear-layer.ts';

/** Attention does not lie further from its projections than this many nodes, rotary included. */
const MAX_STEPS = 400;

/** Look-ups of layers by the values and nodes around them. */
export interface LayerIndex {
  readonly byOutput: ReadonlyMap<string, LinearLayer>;
  readonly byNode: ReadonlyMap<Node, LinearLayer>;
}

/** Returns the look-ups. A layer is found at its product, its sum with the bias, and both nodes. */
export function indexLayers(layers: readonly LinearLayer[]): LayerIndex {
  const byOutput = new Map<string, LinearLayer>();
  const byNode = new Map<Node, LinearLayer>();
  for (const layer of layers) {
    byNode.set(layer.node, layer);
    byOutput.set(layer.node.outputs[0] ?? '', layer);
    byOutput.set(layer.output, layer);
  }
  return { byOutput, byNode };
}

/** The layers that a value is made of, and the nodes between. */
export interface Upstream {
  readonly layers: readonly LinearLayer[];
  readonly nodes: readonly Node[];
}

/** Walks from a value against the data to the nearest linear layers, through anything that is float. */
export function traceUpstream(view: GraphView, index: LayerIndex, value: string): Upstream {
  const layers = new Set<LinearLayer>();
  const nodes = new Set<Node>();
  const pending = [value];
  while (pending.length > 0 && nodes.size < MAX_STEPS) {
    const at = pending.pop() ?? '';
    const layer = index.byOutput.get(at);
    if (layer !== undefined) {
      layers.add(layer);
      continue;
    }
    const node = view.producer(at);
    if (node === undefined || nodes.has(node) || isOp(node, 'Shape', 'Constant')) continue;
    nodes.add(node);
    pending.push(...dataInputs(node));
  }
  return { layers: [...layers], nodes: [...nodes] };
}

/** Walks with the data, through ops that keep features apart, to the first linear layers. */
export function traceDownstream(
  view: GraphView,
  index: LayerIndex,
  value: string,
): LinearLayer | undefined {
  return searchByLevels<LinearLayer>(value, 16, (at) => {
    const next: string[] = [];
    for (const { node, inputIndex } of view.uses(at)) {
      const layer = index.byNode.get(node);
      if (layer !== undefined && inputIndex === 0) return layer;
      const through = isMoving(node) || isTransparent(node) || isOp(node, 'Mul', 'Where');
      if (through) next.push(...node.outputs.slice(0, 1));
    }
    return next;
  });
}
