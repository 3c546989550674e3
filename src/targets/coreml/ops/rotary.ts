import type { Ref } from '../builder.ts';
import { type Lowering, read, reshaped } from '../lowering.ts';

/** Tables by position, and how channels are paired. */
export interface Rotation {
  readonly cos: string;
  readonly sin: string;
  readonly past: number;
  readonly isInterleaved: boolean;
  readonly wanted: string;
}

/** Turns pairs of channels by the angles of their position; tables may cover only the first channels. */
export function rotated(
  lowering: Lowering,
  x: Ref,
  { cos, sin, past, isInterleaved, wanted }: Rotation,
): Ref {
  const { builder } = lowering;
  const [batch = 1, heads = 1, rows = 1, channels = 1] = x.type.dims.map(Number);
  const table = (name: string): Ref => angles(lowering, name, past, rows);
  const [c, s] = [table(cos), table(sin)];
  const half = Number(c.type.dims[3]);
  const sizes = channels === 2 * half ? [2 * half] : [2 * half, channels - 2 * half];
  const parts =
    sizes.length === 1
      ? [x]
      : builder.emitAll('split', [`${wanted}_turning`, `${wanted}_rest`], {
          x,
          split_sizes: sizes,
          axis: -1,
        });
  const shape = isInterleaved ? [batch * heads, rows, half, 2] : [batch, heads, rows, 2 * half];
  const paired = reshaped(lowering, parts[0]!, shape, `${wanted}_paired`);
  const [a, b] = builder.emitAll('split', [`${wanted}_a`, `${wanted}_b`], {
    x: paired,
    split_sizes: isInterleaved ? [1, 1] : [half, half],
    axis: -1,
  });
  const flat = (one: Ref): Ref =>
    reshaped(lowering, one, [batch, heads, rows, half], `${wanted}_flat`);
  const [first, second] = [flat(a!), flat(b!)];
  const product = (one: Ref, other: Ref): Ref =>
    builder.emit('mul', `${wanted}_product`, { x: one, y: other });
  const left = builder.emit('sub', `${wanted}_first`, {
    x: product(first, c),
    y: product(second, s),
  });
  const right = builder.emit('add', `${wanted}_second`, {
    x: product(second, c),
    y: product(first, s),
  });
  const wide = (one: Ref): Ref =>
    isInterleaved ? reshaped(lowering, one, [batch * heads, rows, half, 1], `${wanted}_wide`) : one;
  const joined = builder.emit('concat', `${wanted}_joined`, {
    values: [wide(left), wide(right)],
    axis: -1,
  });
  const back = reshaped(lowering, joined, [batch, heads, rows, 2 * half], `${wanted}_back`);
  return parts[1] === undefined
    ? back
    : builder.emit('concat', wanted, { values: [back, parts[1]], axis: -1 });
}

/** Rows [past, past + rows) of a table of cosines or sines, as [1, 1, rows, half]. */
function angles(lowering: Lowering, name: string, past: number, rows: number): Ref {
  const key = `angles ${name} ${past} ${rows}`;
  const known = lowering.constants.get(key);
  if (known !== undefined) return known;
  const table = read(lowering, name);
  const [, half = 1] = table.type.dims.map(Number);
  const taken = lowering.builder.emit('slice_by_index', `${name}_rows`, {
    x: table,
    begin: [past, 0],
    end: [past + rows, half],
    stride: [1, 1],
    begin_mask: [false, true],
    end_mask: [false, true],
    squeeze_mask: [false, false],
  });
  const made = reshaped(lowering, taken, [1, 1, rows, half], `${name}_angles`);
  lowering.constants.set(key, made);
  return made;
}
