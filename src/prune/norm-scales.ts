import { readFloatRows } from '../numerics/float-rows.ts';
import { type GraphView, isOp } from '../passes/graph-view.ts';
import { findConstant } from '../structure/constant-path.ts';
import { NO_UNIT } from './axis-rule.ts';
import type { PruneGroup } from './group.ts';

/** Returns |gamma| of each unit for every BatchNormalization that scales the units of a group. */
export async function normScales(
  view: GraphView,
  group: PruneGroup,
): Promise<readonly (readonly number[])[]> {
  const found: number[][] = [];
  for (const { reader, value, units } of group.axes) {
    const tensor = findConstant(view, value)?.tensor;
    const isGamma = reader?.index === 1 && isOp(reader.node, 'BatchNormalization');
    if (!isGamma || tensor === undefined) continue;
    const scales = new Array<number>(group.unitCount).fill(0);
    for await (const { values } of readFloatRows(tensor, units.length)) {
      values.forEach((scale, index) => {
        const unit = units[index]!;
        if (unit !== NO_UNIT) scales[unit]! += Math.abs(scale);
      });
    }
    found.push(scales);
  }
  return found;
}
