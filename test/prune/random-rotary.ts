/** Rotary embedding as exporters spell it. */
import type { GraphBuilder } from './graph-builder.ts';

function slice(builder: GraphBuilder, x: string, from: number, to: number, step = 1): string {
  const inputs = [x, builder.ints(from), builder.ints(to), builder.ints(-1)];
  return builder.op('Slice', step === 1 ? inputs : [...inputs, builder.ints(step)]);
}

/** Halves of a head are pairs. */
export function rotateHalves(
  builder: GraphBuilder,
  x: string,
  _heads: number,
  width: number,
): string {
  const half = width / 2;
  const turned = builder.op('Neg', [slice(builder, x, half, 2 ** 40)]);
  const swapped = builder.op('Concat', [turned, slice(builder, x, 0, half)], { axis: -1n });
  const [cos, sin] = [builder.weight(width), builder.weight(1, 1, 1, width)];
  return builder.op('Add', [builder.op('Mul', [x, cos]), builder.op('Mul', [swapped, sin])]);
}

/** Neighbours are pairs, over the front half of a head; what is turned is flattened by explicit sizes. */
export function rotatePairs(
  builder: GraphBuilder,
  x: string,
  heads: number,
  width: number,
): string {
  const turning = width / 2;
  const [front, back] = [slice(builder, x, 0, turning), slice(builder, x, turning, 2 ** 40)];
  const even = slice(builder, front, 0, 2 ** 31 - 1, 2);
  const odd = slice(builder, front, 1, 2 ** 31 - 1, 2);
  const both = [builder.op('Neg', [odd]), even].map((part) =>
    builder.op('Unsqueeze', [part, builder.ints(-1)]),
  );
  const pairs = builder.op('Concat', both, { axis: -1n });
  const flat = builder.op('Reshape', [
    pairs,
    builder.shape('B', heads, 'T', builder.dice.pick([turning, -1])),
  ]);
  const turned = builder.op('Mul', [builder.op('Add', [flat, front]), builder.weight(turning)]);
  return builder.op('Concat', [turned, back], { axis: 3n });
}
