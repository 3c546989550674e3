import { indexUses } from '../../ir/index-uses.ts';
import type { Model, Node } from '../../ir/model.ts';
import { constantValues } from '../../passes/constant-nodes.ts';
import { viewGraph } from '../../passes/graph-view.ts';

/** An activation that a model rounds to integers of a range of its own. */
export interface CalibratedInput {
  /** The float value before it is rounded. */
  readonly value: string;
  /** Real values of the lowest and the highest integer. */
  readonly low: number;
  readonly high: number;
  /** The layer that multiplies it, the first of several: the name of its node, unlike that of any other. */
  readonly layer: string;
}

const INTEGERS = { uint8: [0, 255], int8: [-128, 127] } as const;

/**
 * Returns the activations of the main graph that a QuantizeLinear with one constant scale rounds to 8 bits for a product. Weights
 * that are rounded in the graph are none, and the residual of a coarse plane is left out: its range follows from the data.
 */
export function findCalibratedInputs(model: Model): readonly CalibratedInput[] {
  const view = viewGraph(model);
  const { uses, producers } = indexUses(model.graph);
  const constants = constantValues(model.graph);
  const found = new Map<string, CalibratedInput>();
  const named = new Set<string>();
  for (const node of model.graph.nodes) {
    const [value = '', scaleName = '', zeroName = ''] = node.inputs;
    if (node.opType !== 'QuantizeLinear' || found.has(value) || constants.has(value)) continue;
    const scale = view.scalar(scaleName);
    const zeroPoint = zeroName === '' ? 0 : view.scalar(zeroName);
    const type = view.facts(node.outputs[0] ?? '').dataType;
    if (scale === undefined || zeroPoint === undefined || !isEightBits(type)) continue;
    if (isResidual(producers.get(value), producers)) continue;
    const reader = productBehind(node, uses);
    if (reader === undefined) continue;
    const [least, most] = INTEGERS[type];
    // Products of two activations, and nodes without a name, stand for more than one value.
    const layer = reader === '' || named.has(reader) ? `${reader} (${value})`.trim() : reader;
    named.add(layer);
    found.set(value, {
      value,
      low: (least - zeroPoint) * scale,
      high: (most - zeroPoint) * scale,
      layer,
    });
  }
  return [...found.values()];
}

function isEightBits(type: string | undefined): type is keyof typeof INTEGERS {
  return type === 'uint8' || type === 'int8';
}

/** x - DequantizeLinear(QuantizeLinear(x)). */
function isResidual(node: Node | undefined, producers: ReadonlyMap<string, Node>): boolean {
  if (node?.opType !== 'Sub') return false;
  const dequantize = producers.get(node.inputs[1] ?? '');
  if (dequantize?.opType !== 'DequantizeLinear') return false;
  return producers.get(dequantize.inputs[0] ?? '')?.inputs[0] === node.inputs[0];
}

function productBehind(
  quantize: Node,
  uses: ReturnType<typeof indexUses>['uses'],
): string | undefined {
  for (const { node: dequantize } of uses.get(quantize.outputs[0] ?? '') ?? []) {
    const readers = uses.get(dequantize.outputs[0] ?? '') ?? [];
    const product = readers.find(({ node }) => ['MatMul', 'Gemm', 'Conv'].includes(node.opType));
    if (product !== undefined) return product.node.name;
  }
  return undefined;
}
