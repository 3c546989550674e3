import type { Node } from '../ir/model.ts';
import { numbersOf } from '../ops/op-spec.ts';
import { type GraphView, isMoving, isOp } from '../passes/graph-view.ts';
import type { Activation } from './find-activations.ts';
import type { LinearLayer } from './linear-layer.ts';
import { type LayerIndex, traceUpstream } from './trace.ts';

/** The layers of a feed-forward network, found from its down projection. */
export interface FfnMatch {
  readonly activation: Activation;
  readonly down: LinearLayer;
  /** `gate` alone for a packed or plain network. */
  readonly gate: LinearLayer;
  readonly up: LinearLayer | undefined;
  readonly gateHalf: 'first' | 'second' | undefined;
}

/**
 * Returns the network that ends in `down`: `down(activation(in(x)))`, or
 * `down(activation(gate(x)) * up(x))` where gate and up may be halves of one layer.
 */
export function matchFfn(
  view: GraphView,
  index: LayerIndex,
  activations: ReadonlyMap<string, Activation>,
  down: LinearLayer,
): FfnMatch | undefined {
  const value = throughReshapes(view, down.input);
  const plain = activations.get(value);
  if (plain !== undefined) {
    const gate = onlyLayer(view, index, plain.input);
    if (gate === undefined || gate.outFeatures !== down.inFeatures) return undefined;
    return { activation: plain, down, gate, up: undefined, gateHalf: undefined };
  }
  const product = view.producer(value);
  if (!isOp(product, 'Mul')) return undefined;
  for (const [gateSide, upSide] of operandOrders(view, product)) {
    const activation = activations.get(gateSide);
    if (activation === undefined) continue;
    const gate = onlyLayer(view, index, activation.input);
    const up = onlyLayer(view, index, upSide);
    if (gate === undefined || up === undefined) continue;
    if (gate !== up) return { activation, down, gate, up, gateHalf: undefined };
    if (gate.outFeatures !== 2 * down.inFeatures) continue;
    return { activation, down, gate, up, gateHalf: halfOf(view, activation.input) };
  }
  return undefined;
}

function operandOrders(view: GraphView, product: Node): readonly (readonly [string, string])[] {
  const [a, b] = product.inputs.map((name) => throughReshapes(view, name));
  if (a === undefined || b === undefined) return [];
  return [
    [a, b],
    [b, a],
  ];
}

/** Exporters flatten batch and sequence around a Gemm, and activations do not care. */
function throughReshapes(view: GraphView, value: string): string {
  let at = view.origin(value);
  for (;;) {
    const node = view.producer(at);
    if (!isOp(node, 'Reshape', 'Transpose', 'Flatten')) return at;
    at = view.origin(node.inputs[0] ?? '');
  }
}

function onlyLayer(view: GraphView, index: LayerIndex, value: string): LinearLayer | undefined {
  const { layers, nodes } = traceUpstream(view, index, value);
  const moves = nodes.every(
    (node) => isMoving(node) || view.origin(node.outputs[0] ?? '') !== node.outputs[0],
  );
  return layers.length === 1 && moves ? layers[0] : undefined;
}

/** Which half of a packed projection a value is: by Split output or by a Slice that starts at 0. */
function halfOf(view: GraphView, value: string): 'first' | 'second' | undefined {
  let at = view.origin(value);
  for (;;) {
    const node = view.producer(at);
    if (node === undefined) return undefined;
    if (isOp(node, 'Split')) return node.outputs[0] === at ? 'first' : 'second';
    if (isOp(node, 'Slice')) {
      const [start] = numbersOf(view.facts(node.inputs[1] ?? '')) ?? [];
      return start === 0 ? 'first' : 'second';
    }
    if (!isMoving(node)) return undefined;
    at = view.origin(node.inputs[0] ?? '');
  }
}
