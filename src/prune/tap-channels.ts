import { attributes } from '../ir/attributes.ts';
import { nameMaker } from '../ir/edit.ts';
import type { Model, Node } from '../ir/model.ts';
import { inlineTensor } from '../ir/tensor.ts';
import { inferFacts } from '../passes/infer-facts.ts';
import type { Consumer } from './follow-units.ts';

/** A value added to a model that holds, along its last axis, the channels that a product sums over. */
export interface ChannelTap {
  readonly name: string;
  /** The value that the product reads. */
  readonly source: string;
  readonly width: number;
}

/**
 * Returns a float32 model with the inputs of some products laid out for observing: channels last, and with
 * `unit length` each row divided by its norm, so that a few huge tokens do not drown all others. Nothing reads
 * the new values. Products whose input has no known rank are left out.
 */
export function tapChannels(
  model: Model,
  consumers: readonly Consumer[],
  rows: 'as they are' | 'unit length',
): { readonly model: Model; readonly taps: readonly ChannelTap[] } {
  const facts = inferFacts(model).of(model.graph);
  const freshName = nameMaker(model.graph);
  const nodes: Node[] = [];
  const taps = new Map<string, ChannelTap>();
  const epsilon = inlineTensor(
    freshName('tap_epsilon'),
    'float32',
    [],
    bytesOf(Float32Array.of(1e-30)),
  );
  const axes = inlineTensor(freshName('tap_axes'), 'int64', [1], bytesOf(BigInt64Array.of(-1n)));
  const add = (opType: string, inputs: readonly string[], literals = {}): string => {
    const output = freshName(`${inputs[0]}_tap`);
    nodes.push({
      name: freshName(`${output}_node`),
      opType,
      domain: '',
      inputs,
      outputs: [output],
      attributes: attributes(literals),
    });
    return output;
  };
  for (const { node, data, dataAxis, weight, weightAxis } of consumers) {
    const source = node.inputs[data] ?? '';
    const rank = facts.get(source)?.shape?.length;
    const width = facts.get(node.inputs[weight] ?? '')?.shape?.[weightAxis];
    if (taps.has(source) || rank === undefined || typeof width !== 'number') continue;
    let name = source;
    if (dataAxis !== rank - 1) {
      const order = [...Array(rank).keys()].filter((axis) => axis !== dataAxis);
      name = add('Transpose', [name], { perm: [...order, dataAxis].map(BigInt) });
    }
    if (rows === 'unit length') {
      const squares = add('Mul', [name, name]);
      const sum = add('ReduceSum', [squares, axes.name], { keepdims: 1n });
      const norm = add('Sqrt', [add('Add', [sum, epsilon.name])]);
      name = add('Div', [name, norm]);
    }
    taps.set(source, { name, source, width });
  }
  const { graph } = model;
  const initializers = new Map(graph.initializers).set(epsilon.name, epsilon).set(axes.name, axes);
  return {
    model: { ...model, graph: { ...graph, nodes: [...graph.nodes, ...nodes], initializers } },
    taps: [...taps.values()],
  };
}

function bytesOf(values: Float32Array | BigInt64Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
