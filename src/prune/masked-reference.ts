import { UnsupportedError } from '../errors.ts';
import { attributes } from '../ir/attributes.ts';
import type { DataType } from '../ir/data-type.ts';
import { withGraph } from '../ir/edit.ts';
import type { Model, Node } from '../ir/model.ts';
import { nodeLabel } from '../ir/node-label.ts';
import {
  addConstant,
  beginRewrite,
  finishRewrite,
  insertBefore,
  type Rewrite,
} from '../ir/rewrite.ts';
import type { Facts } from '../ops/op-spec.ts';
import { tensorOfElements } from '../ops/tensor-elements.ts';
import { inferFacts } from '../passes/infer-facts.ts';
import { NO_UNIT } from './axis-rule.ts';
import type { Consumer } from './follow-units.ts';
import { consumedUnits } from './group.ts';
import type { Cut } from './kept-axes.ts';

interface Masking {
  readonly rewrite: Rewrite;
  readonly facts: ReadonlyMap<string, Facts>;
  /** New inputs of products, which several cuts may change. */
  readonly inputs: Map<Node, string[]>;
}

/**
 * Returns the whole model with the channels of `cuts` masked where they are summed: each product reads its channels
 * with those that stay first and the others last, times a weight that is zero there. The order of the sums is
 * then that of the cut model, so that both give the same bits.
 */
export function maskedReference(model: Model, cuts: readonly Cut[]): Model {
  const rewrite = beginRewrite(model.graph);
  const masking: Masking = {
    rewrite,
    facts: inferFacts(model).of(model.graph),
    inputs: new Map(),
  };
  for (const cut of cuts) {
    if (cut.removed.length === 0) continue;
    for (const consumer of cut.group.consumers) maskConsumer(masking, cut, consumer);
  }
  for (const [node, inputs] of masking.inputs) rewrite.instead.set(node, [{ ...node, inputs }]);
  return withGraph(model, finishRewrite(rewrite, model.graph.valueInfo));
}

function maskConsumer(masking: Masking, { group, removed }: Cut, consumer: Consumer): void {
  const { node, data, dataAxis, weight, weightAxis } = consumer;
  const gone = new Set(removed);
  const stays = [...consumedUnits(group, consumer)].map(
    (unit) => unit === NO_UNIT || !gone.has(unit),
  );
  const places = [...stays.keys()];
  const kept = places.filter((place) => stays[place]);
  const order = [...kept, ...places.filter((place) => !stays[place])];
  const indices = constant(masking, node, 'kept_first', 'int64', [order.length], order);
  const inputs = masking.inputs.get(node) ?? [...node.inputs];
  masking.inputs.set(node, inputs);
  const { dataType = 'float32', shape = [] } = masking.facts.get(node.inputs[weight]!) ?? {};
  const dims = shape.map((_, axis) => (axis === weightAxis ? order.length : 1));
  const mask = constant(
    masking,
    node,
    'mask',
    dataType,
    dims,
    order.map((_, index) => (index < kept.length ? 1 : 0)),
  );
  inputs[data] = insert(masking, node, 'Gather', [inputs[data]!, indices], dataAxis);
  const ordered = insert(masking, node, 'Gather', [inputs[weight]!, indices], weightAxis);
  inputs[weight] = insert(masking, node, 'Mul', [ordered, mask]);
}

function constant(
  { rewrite }: Masking,
  node: Node,
  name: string,
  ...[dataType, dims, elements]: [DataType, readonly number[], readonly number[]]
): string {
  const tensor = tensorOfElements(name, dataType, dims, elements);
  if (tensor === undefined) {
    throw new UnsupportedError(
      `${nodeLabel(node)}: a weight of ${dataType} cannot be masked. Prune the float model.`,
    );
  }
  return addConstant(rewrite, tensor);
}

function insert(
  { rewrite }: Masking,
  before: Node,
  opType: string,
  inputs: readonly string[],
  axis?: number,
): string {
  const output = rewrite.freshName(`${inputs[0]}_masked`);
  const literals = axis === undefined ? {} : { axis: BigInt(axis) };
  const node = {
    name: '',
    opType,
    domain: '',
    inputs,
    outputs: [output],
    attributes: attributes(literals),
  };
  insertBefore(rewrite, before, [node]);
  return output;
}
