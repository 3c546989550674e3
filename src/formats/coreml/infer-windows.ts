/** Types of what slides a window over its input, or pads it. */

import type { MilDim } from './mil.ts';
import { MilShapeError } from './mil-shape-error.ts';
import type { Operands, Rule } from './operands.ts';

/** Padding of the last axes. */
export const pad: Rule = (o) => {
  const { dataType, dims } = o.typeOf('x');
  const amounts = o.numbers('pad') ?? [];
  const first = dims.length - amounts.length / 2;
  return [
    {
      dataType,
      dims: dims.map((dim, axis) => {
        const at = 2 * (axis - first);
        return dim === undefined || at < 0
          ? dim
          : dim + (amounts[at] ?? 0) + (amounts[at + 1] ?? 0);
      }),
    },
  ];
};

function spatial(o: Operands, kernel: readonly MilDim[]): readonly MilDim[] {
  const dims = o.typeOf('x').dims.slice(2);
  const [strides, pads] = [o.numbers('strides') ?? [], o.numbers('pad') ?? []];
  const dilations = o.type === 'conv' ? (o.numbers('dilations') ?? []) : [];
  return dims.map((dim, axis) => {
    const size = kernel[axis];
    if (dim === undefined || size === undefined) return undefined;
    const reach = (dilations[axis] ?? 1) * (size - 1) + 1;
    const padded =
      o.text('pad_type') === 'custom' ? (pads[2 * axis] ?? 0) + (pads[2 * axis + 1] ?? 0) : 0;
    return Math.floor((dim + padded - reach) / (strides[axis] ?? 1)) + 1;
  });
}

/** Convolution over up to two axes. */
export const conv: Rule = (o) => {
  const [x, weight] = [o.typeOf('x'), o.typeOf('weight')];
  const groups = o.numbers('groups')?.[0] ?? 1;
  const inner = weight.dims[1];
  agree(x.dims[1], inner === undefined ? undefined : inner * groups, 'number of input channels');
  return [
    {
      dataType: x.dataType,
      dims: [x.dims[0], weight.dims[0], ...spatial(o, weight.dims.slice(2))],
    },
  ];
};

/** Pooling. */
export const pool: Rule = (o) => {
  const { dataType, dims } = o.typeOf('x');
  return [
    { dataType, dims: [...dims.slice(0, 2), ...spatial(o, o.numbers('kernel_sizes') ?? [])] },
  ];
};

/** Throws an Error when two sizes that must be equal are known and are not. */
export function agree(a: MilDim, b: MilDim, what: string): void {
  if (a !== undefined && b !== undefined && a !== b)
    throw new MilShapeError(`${what} differs (got ${a} and ${b})`);
}
