import { intAttribute } from '../ir/attributes.ts';
import type { Node } from '../ir/model.ts';
import type { Tensor } from '../ir/tensor.ts';
import { numbersOf, positiveAxis } from '../ops/op-spec.ts';
import { type GraphView, isOp } from '../passes/graph-view.ts';
import { findConstant } from '../structure/constant-path.ts';
import type { AxisUnits } from './axis-rule.ts';
import { type ConsumerColumns, columnsOf } from './consumer-columns.ts';
import type { Consumer } from './follow-units.ts';
import type { GroupAxis, PruneGroup } from './group.ts';

/** How stored integers become numbers: `(q - zeroPoint) * scale`, one pair or one for each index of an axis. */
export interface WeightScale {
  readonly scales: readonly number[];
  readonly zeroPoints: readonly number[];
  readonly axis: number;
}

/** A stored tensor with the units along one of its axes. */
export interface UnitWeight {
  /** The value that holds the tensor: an initializer, or what a Constant makes. */
  readonly value: string;
  readonly tensor: Tensor;
  readonly axis: number;
  readonly units: AxisUnits;
  /** The product that sums over the units, when this is its weight. */
  readonly consumer: Consumer | undefined;
  /** What that product sums over. */
  readonly columns: ConsumerColumns | undefined;
  readonly scale: WeightScale | undefined;
}

/** Returns the matrices and filters of a group: what makes its units and what reads them. */
export function unitWeights(view: GraphView, group: PruneGroup): readonly UnitWeight[] {
  const consumers = new Map(
    group.consumers.map((consumer) => {
      const value = consumer.node.inputs[consumer.weight] ?? '';
      return [findConstant(view, value)?.initializer ?? value, consumer] as const;
    }),
  );
  const found = new Map<string, UnitWeight>();
  for (const entry of group.axes) {
    const constant = findConstant(view, entry.value);
    if (constant === undefined || constant.path.length > 0 || constant.tensor.dims.length < 2)
      continue;
    const { tensor } = constant;
    if (tensor.dims.filter((dim) => dim > 1).length < 2) continue;
    const consumer = consumers.get(entry.value);
    const scale = scaleOf(view, entry);
    const { value, axis, units } = entry;
    const columns = consumer && columnsOf(view, consumer);
    found.set(`${value} ${axis}`, { value, tensor, axis, units, consumer, columns, scale });
  }
  return [...found.values()];
}

/** The scale of a weight whose one reader dequantizes it. */
function scaleOf(view: GraphView, { value }: GroupAxis): WeightScale | undefined {
  const reader: Node | undefined = view.uses(value)[0]?.node;
  if (!isOp(reader, 'DequantizeLinear')) return undefined;
  const [, scale = '', zeroPoint = ''] = reader.inputs;
  const scales = elementsOf(view, scale);
  if (scales === undefined) return undefined;
  const rank = view.facts(value).shape?.length ?? 0;
  const axis = positiveAxis(intAttribute(reader, 'axis', 1), rank);
  return { scales, zeroPoints: elementsOf(view, zeroPoint) ?? [0], axis };
}

function elementsOf(view: GraphView, value: string): readonly number[] | undefined {
  return value === '' ? undefined : numbersOf(view.facts(value));
}
