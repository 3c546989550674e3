import { attributes } from '../ir/attributes.ts';
import { nameMaker } from '../ir/edit.ts';
import type { Attribute, Model, Node } from '../ir/model.ts';
import { inlineTensor, type Tensor } from '../ir/tensor.ts';
import { isOp } from '../passes/graph-view.ts';
import { inferFacts } from '../passes/infer-facts.ts';
import { type ConsumerColumns, widthOf } from './consumer-columns.ts';
import type { Consumer } from './follow-units.ts';

/** A value added to a model that holds, along its last axis, what a product sums over. */
export interface ChannelTap {
  readonly name: string;
  readonly width: number;
}

/** Returns a row for each vector that is summed over, in a value of its own, and the value's name. */
interface Tapping {
  readonly nodes: Node[];
  readonly initializers: Map<string, Tensor>;
  add(
    opType: string,
    inputs: readonly string[],
    attributes?: ReadonlyMap<string, Attribute>,
  ): string;
  constant(stem: string, values: Float32Array | BigInt64Array, dims: readonly number[]): string;
}

/**
 * Returns a float32 model with the inputs of some products laid out for observing, and the tap of each product.
 * As `channels`, those come last and nothing else is done. As `columns`, there is a row for each output: the patch
 * under a filter, with its padding; of a matrix the input; behind it a 1 where a constant can be folded; rows of
 * matrices divided by their norm, so that a few huge tokens do not drown all others. Nothing reads the new values. Products whose input has
 * no known rank are left out.
 */
export function tapChannels(
  model: Model,
  consumers: readonly Consumer[],
  layout: 'channels' | 'columns',
  columnsOf: (consumer: Consumer) => ConsumerColumns | undefined,
): { readonly model: Model; tapOf(consumer: Consumer): ChannelTap | undefined } {
  const facts = inferFacts(model).of(model.graph);
  const tapping = beginTapping(model);
  const taps = new Map<string, ChannelTap>();
  const byNode = new Map<Node, ChannelTap>();
  for (const consumer of consumers) {
    const source = consumer.node.inputs[consumer.data] ?? '';
    const rank = facts.get(source)?.shape?.length;
    const columns = columnsOf(consumer);
    if (rank === undefined || columns === undefined) continue;
    const plain = { ...columns, taps: 1, bias: undefined };
    const wanted = layout === 'channels' ? plain : columns;
    const key = layout === 'channels' ? source : keyOf(consumer, wanted);
    const tap = taps.get(key) ?? {
      name:
        layout === 'channels'
          ? last(tapping, consumer, rank)
          : rows(tapping, consumer, wanted, rank),
      width: widthOf(wanted),
    };
    taps.set(key, tap);
    byNode.set(consumer.node, tap);
  }
  const { graph } = model;
  return {
    model: {
      ...model,
      graph: {
        ...graph,
        nodes: [...graph.nodes, ...tapping.nodes],
        initializers: new Map([...graph.initializers, ...tapping.initializers]),
      },
    },
    tapOf: ({ node }) => byNode.get(node),
  };
}

/** Products with one key read the same rows. */
function keyOf({ node, data }: Consumer, { taps, bias }: ConsumerColumns): string {
  const hasOne = bias !== undefined;
  const source = node.inputs[data];
  if (!isOp(node, 'Conv')) return JSON.stringify([source, hasOne]);
  return JSON.stringify([source, hasOne, taps, windowOf(node)], (_, value) =>
    typeof value === 'bigint' ? String(value) : value,
  );
}

/** How a filter slides. */
function windowOf(node: Node): readonly Attribute[] {
  return ['kernel_shape', 'strides', 'pads', 'dilations', 'auto_pad'].flatMap(
    (name) => node.attributes.get(name) ?? [],
  );
}

function beginTapping(model: Model): Tapping {
  const freshName = nameMaker(model.graph);
  const nodes: Node[] = [];
  const initializers = new Map<string, Tensor>();
  return {
    nodes,
    initializers,
    add(opType, inputs, of = new Map()) {
      const output = freshName(`${inputs[0]}_tap`);
      const name = freshName(`${output}_node`);
      nodes.push({ name, opType, domain: '', inputs, outputs: [output], attributes: of });
      return output;
    },
    constant(stem, values, dims) {
      const name = freshName(stem);
      const dataType = values instanceof Float32Array ? 'float32' : 'int64';
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      initializers.set(name, inlineTensor(name, dataType, dims, bytes));
      return name;
    },
  };
}

/** The input with its channels last. */
function last(
  tapping: Tapping,
  { node, data, dataAxis }: Consumer,
  rank: number,
  source: string = node.inputs[data] ?? '',
): string {
  if (dataAxis === rank - 1) return source;
  const order = [...Array(rank).keys()].filter((axis) => axis !== dataAxis);
  const perm = [...order, dataAxis].map(BigInt);
  return tapping.add('Transpose', [source], attributes({ perm }));
}

function rows(
  tapping: Tapping,
  consumer: Consumer,
  columns: ConsumerColumns,
  rank: number,
): string {
  const { node } = consumer;
  const hasOne = columns.bias !== undefined;
  if (isOp(node, 'Conv')) {
    const { kernel } = columns;
    const picked =
      kernel === undefined ? undefined : patches(tapping, node, columns.channels, kernel);
    const found = last(tapping, consumer, rank, picked);
    return hasOne ? withOne(tapping, found, rank) : found;
  }
  const x = last(tapping, consumer, rank);
  const row = hasOne ? withOne(tapping, x, rank) : x;
  const squares = tapping.add('Mul', [row, row]);
  const axes = tapping.constant('tap_axes', BigInt64Array.of(-1n), [1]);
  const sum = tapping.add('ReduceSum', [squares, axes], attributes({ keepdims: 1n }));
  const epsilon = tapping.constant('tap_epsilon', Float32Array.of(1e-30), []);
  const norm = tapping.add('Sqrt', [tapping.add('Add', [sum, epsilon])]);
  return tapping.add('Div', [row, norm]);
}

/** One filter for each position of each channel picks it out: the patches, padding and all, channels first. */
function patches(
  tapping: Tapping,
  node: Node,
  channels: number,
  kernel: readonly number[],
): string {
  const taps = kernel.reduce((all, size) => all * size, 1);
  const filters = new Float32Array(channels * taps * taps);
  for (let row = 0; row < channels * taps; row++) filters[row * taps + (row % taps)] = 1;
  const weight = tapping.constant('tap_filters', filters, [channels * taps, 1, ...kernel]);
  const of = new Map(windowOf(node).map((attribute) => [attribute.name, attribute]));
  const group = attributes({ group: BigInt(channels) });
  return tapping.add('Conv', [node.inputs[0]!, weight], new Map([...of, ...group]));
}

/** Puts a 1 behind each row. */
function withOne(tapping: Tapping, source: string, rank: number): string {
  const pads = BigInt64Array.from({ length: 2 * rank }, (_, index) =>
    index === 2 * rank - 1 ? 1n : 0n,
  );
  const one = tapping.constant('tap_one', Float32Array.of(1), []);
  return tapping.add('Pad', [source, tapping.constant('tap_pads', pads, [2 * rank]), one]);
}
