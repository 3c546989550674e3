/** Seeded graphs out of the operators through which channels and heads are followed. */
import type { Model } from '../../src/ir/model.ts';
import { type Dice, dice, GraphBuilder } from './graph-builder.ts';
import { addAttention } from './random-attention.ts';
import { convolutionGraph } from './random-convolutions.ts';
import { addFeedForward, linear } from './random-feed-forward.ts';

export interface RandomGraph {
  readonly model: Model;
  /** What the graph is made of, for a failing test. */
  readonly parts: readonly string[];
  readonly isInteger: boolean;
  /** Dims of `x` in a run. */
  readonly dims: readonly number[];
}

/** Width of the residual stream. */
const WIDTH = 8;

export function randomGraph(seed: number): RandomGraph {
  const random = dice(seed);
  const builder = new GraphBuilder({
    dice: random,
    opset: random.pick([13, 18, 18, 20, 23]),
    sizes: { B: 1 + random.below(3), T: 3 + random.below(4) },
    isStatic: random.chance(0.5),
    isInteger: random.chance(0.25),
    sharesConstants: random.chance(0.5),
  });
  return random.chance(0.25) ? convolutionGraph(builder) : transformer(builder, random);
}

function transformer(builder: GraphBuilder, random: Dice): RandomGraph {
  const { isInteger, isStatic, sizes, opset } = builder.options;
  const parts = [`opset ${opset}`, isStatic ? 'static' : 'dynamic'];
  let stream = linear(builder, 'x', WIDTH, WIDTH);
  for (let block = 1 + random.below(3); block > 0; block--) {
    const input = norm(builder, stream, parts);
    // A softmax leaves the integers.
    const adds = isInteger || random.chance(0.5) ? addFeedForward : addAttention;
    const branch = adds(builder, input, parts);
    stream = builder.op('Add', random.chance(0.5) ? [stream, branch] : [branch, stream]);
  }
  const shape = isStatic ? [sizes.B, sizes.T, WIDTH] : ['batch', 'sequence', WIDTH];
  return {
    model: builder.build(shape, { [stream]: shape }),
    parts,
    isInteger,
    dims: [sizes.B, sizes.T, WIDTH],
  };
}

function norm(builder: GraphBuilder, stream: string, parts: string[]): string {
  const { isInteger, opset } = builder.options;
  const kind = isInteger ? 'none' : builder.dice.pick(['none', 'layer', 'rms']);
  parts.push(`norm ${kind}`);
  if (kind === 'layer' && opset >= 17) {
    const inputs = [stream, builder.weight(WIDTH), builder.weight(WIDTH)];
    return builder.op('LayerNormalization', inputs, { axis: -1n });
  }
  if (kind !== 'rms') return stream;
  const square = builder.op('Pow', [stream, builder.scalar(2)]);
  const mean =
    opset < 18
      ? builder.op('ReduceMean', [square], { axes: [-1n] })
      : builder.op('ReduceMean', [square, builder.ints(-1)]);
  const root = builder.op('Sqrt', [builder.op('Add', [mean, builder.scalar(1e-5)])]);
  return builder.op('Mul', [builder.op('Div', [stream, root]), builder.weight(WIDTH)]);
}
