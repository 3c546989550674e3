/** Convolutional nets: chains with BatchNormalization, residual unions, depthwise filters, dense joins. */
import type { GraphBuilder } from './graph-builder.ts';
import type { RandomGraph } from './random-graph.ts';

export function convolutionGraph(builder: GraphBuilder): RandomGraph {
  const { dice } = builder;
  const { isStatic, isInteger, sizes } = builder.options;
  const parts = ['convolutions'];
  let channels = dice.pick([4, 6, 8]);
  let x = convolution(builder, 'x', 3, channels, parts);
  for (let block = 1 + dice.below(4); block > 0; block--) {
    const kind = dice.pick(['chain', 'residual', 'depthwise', 'dense', 'pool', 'squeeze']);
    parts.push(kind);
    if (kind === 'chain') {
      const next = dice.pick([4, 5, 7]);
      x = convolution(builder, x, channels, next, parts);
      channels = next;
    } else if (kind === 'residual') {
      const width = dice.pick([4, 6]);
      const inner = convolution(builder, x, channels, width, parts);
      x = builder.op('Add', [x, convolution(builder, inner, width, channels, parts)]);
    } else if (kind === 'depthwise') {
      x = convolution(builder, x, channels, channels, parts, channels);
    } else if (kind === 'dense') {
      x = builder.op('Concat', [x, convolution(builder, x, channels, 3, parts)], { axis: 1n });
      channels += 3;
    } else if (kind === 'pool') {
      const window = { kernel_shape: [3n, 3n], pads: [1n, 1n, 1n, 1n] };
      x = builder.op(isInteger ? 'MaxPool' : dice.pick(['MaxPool', 'AveragePool']), [x], window);
    } else x = squeezeAndExcite(builder, x, channels);
  }
  const output = head(builder, x, channels, parts);
  const shape = isStatic ? [sizes.B, 3, 6, 6] : ['batch', 3, 6, 6];
  return {
    model: builder.build(shape, { [output]: [isStatic ? sizes.B : 'batch', 5] }),
    parts,
    isInteger,
    dims: [sizes.B, 3, 6, 6],
  };
}

function convolution(
  builder: GraphBuilder,
  x: string,
  from: number,
  to: number,
  parts: string[],
  group = 1,
): string {
  const { dice } = builder;
  const { isInteger, opset } = builder.options;
  const size = dice.pick([1, 3]);
  const weight = builder.weight(to, from / group, size, size);
  const bias = dice.chance(0.5) ? [builder.weight(to)] : [];
  const pads = Array<bigint>(4).fill(BigInt((size - 1) / 2));
  let value = builder.op('Conv', [x, weight, ...bias], {
    kernel_shape: [BigInt(size), BigInt(size)],
    pads,
    ...(group > 1 && { group: BigInt(group) }),
  });
  const norm = isInteger
    ? 'none'
    : dice.pick(['none', 'batch', 'batch', 'instance', ...(opset >= 21 ? ['group'] : [])]);
  parts.push(norm);
  if (norm === 'batch') {
    const positive = builder.op('Abs', [builder.weight(to)]);
    const vectors = [builder.weight(to), builder.weight(to), builder.weight(to), positive];
    value = builder.op('BatchNormalization', [value, ...vectors]);
  } else if (norm === 'instance') {
    value = builder.op('InstanceNormalization', [value, builder.weight(to), builder.weight(to)]);
  } else if (norm === 'group') {
    const groups = dice.pick([to, to, ...(to % 2 === 0 ? [2, to / 2] : [])]);
    const inputs = [value, builder.weight(to), builder.weight(to)];
    value = builder.op('GroupNormalization', inputs, { num_groups: BigInt(groups) });
  }
  return dice.chance(0.8) ? builder.op('Relu', [value]) : value;
}

function squeezeAndExcite(builder: GraphBuilder, x: string, channels: number): string {
  if (builder.options.isInteger) return x;
  const pooled = builder.op('GlobalAveragePool', [x]);
  const inner = builder.op('Relu', [
    builder.op('Conv', [pooled, builder.weight(3, channels, 1, 1)]),
  ]);
  const gate = builder.op('Sigmoid', [
    builder.op('Conv', [inner, builder.weight(channels, 3, 1, 1)]),
  ]);
  return builder.op('Mul', [x, gate]);
}

function head(builder: GraphBuilder, x: string, channels: number, parts: string[]): string {
  const { dice } = builder;
  const kind = dice.pick(['flatten', 'reshape', 'squeeze', 'mean', 'whole']);
  parts.push(`head ${kind}`);
  const pool = builder.options.isInteger ? 'GlobalMaxPool' : 'GlobalAveragePool';
  let flat: string;
  let width = channels;
  if (kind === 'whole') {
    flat = builder.op('Flatten', [x], { axis: 1n });
    width = channels * 36;
  } else if (kind === 'mean') {
    flat =
      builder.options.opset < 18
        ? builder.op('ReduceMax', [x], { axes: [2n, 3n], keepdims: 0n })
        : builder.op('ReduceMax', [x, builder.ints(2, 3)], { keepdims: 0n });
  } else {
    const pooled = builder.op(pool, [x]);
    if (kind === 'flatten') flat = builder.op('Flatten', [pooled]);
    else if (kind === 'squeeze') flat = builder.op('Squeeze', [pooled, builder.ints(2, 3)]);
    else flat = builder.op('Reshape', [pooled, builder.ints(0, dice.pick([-1, channels]))]);
  }
  const transposed = dice.chance(0.5);
  const weight = transposed ? builder.weight(5, width) : builder.weight(width, 5);
  return builder.op('Gemm', [flat, weight, builder.weight(5)], transposed ? { transB: 1n } : {});
}
