import { Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import type { Dim, Model, Node, ValueInfo } from '../../../src/ir/model.ts';
import { planQuantization } from '../../../src/quantize/plan.ts';
import { parseRecipe } from '../../../src/recipe/load.ts';
import { applyQuantization } from '../../../src/targets/onnx/apply.ts';
import { auditFusion } from '../../../src/targets/onnx/audit-fusion.ts';
import { floats, IN, model, node, noise, OUT, value } from '../../kit/models.ts';
import { cosine, observeRanges, runModel } from '../../kit/run-model.ts';

type Bias = 'none' | 'vector' | 'vector first' | 'row' | 'input' | 'scalar';

/** What reads a layer's value `p` and makes `y`; `u` is another value of the shape of `p`. */
const FOLLOWERS: readonly ((name: (value: string) => string, rank: number) => readonly Node[])[] = [
  (n) => [node('Neg', [n('p')], n('y'))],
  (n) => [node('Relu', [n('p')], n('r')), node('Mul', [n('r'), 'u'], n('y'))],
  (n) => [node('Clip', [n('p'), 'low', 'high'], n('r')), node('Mul', ['u', n('r')], n('y'))],
  (n) => [
    node('Identity', [n('p')], n('i')),
    node('Relu', [n('i')], n('r')),
    node('Add', [n('r'), 'u'], n('y')),
  ],
  (n) => [
    node('Relu', [n('p')], n('r')),
    node('Mul', [n('r'), 'u'], n('t')),
    node('Sub', [n('t'), n('r')], n('y')),
  ],
  (n, rank) => {
    const axes = Array.from({ length: rank }, (_, axis) => BigInt(axis));
    const perm = [...axes.slice(0, -2), axes.at(-1)!, axes.at(-2)!];
    return [node('Transpose', [n('p')], n('y'), { perm })];
  },
  (n) => [node('Add', [n('p'), 'u'], n('y'))],
  (n) => [node('MatMul', [n('p'), n('next')], n('y'))],
  (n) => [
    node('Relu', [n('p')], n('r')),
    node('MatMul', [n('r'), n('next')], n('s')),
    node('MatMul', [n('r'), n('other')], n('t')),
    node('Mul', [n('s'), n('t')], n('y')),
  ],
  (n) => [node('MatMul', [n('p'), n('next')], n('s')), node('Mul', [n('s'), n('p')], n('y'))],
  (n) => [
    node('Relu', [n('p')], n('r')),
    node('MatMul', [n('r'), n('next')], n('s')),
    node('Mul', [n('s'), n('r')], n('y')),
  ],
  // The last `p` is an output of the graph as well.
  (n) => [node('MatMul', [n('p'), n('next')], n('y'))],
];

interface Sample {
  readonly op: 'MatMul' | 'Gemm';
  readonly shape: readonly Dim[];
  readonly bias: Bias;
}

const BIAS_DIMS = { vector: [OUT], 'vector first': [OUT], row: [1, OUT], scalar: [] } as const;

/** p = x W (+ b) once for each of {@link FOLLOWERS}, then what reads it; outputs y0, y1 ... */
function followed({ op, shape, bias }: Sample): Model {
  const initializers = [floats('low', [], [-0.5]), floats('high', [], [4])];
  const inputs: ValueInfo[] = [
    value('x', 'float32', [...shape, IN]),
    value('u', 'float32', [...shape, OUT]),
  ];
  if (bias === 'input') inputs.push(value('b', 'float32', [OUT]));
  else if (bias !== 'none') {
    const dims = BIAS_DIMS[bias];
    initializers.push(floats('b', dims, noise(4, dims.length === 0 ? 1 : OUT)));
  }
  const nodes = FOLLOWERS.flatMap((follower, index) => {
    const name = (part: string): string => `${part}${index}`;
    initializers.push(
      floats(name('first'), [IN, OUT], noise(index, IN * OUT)),
      floats(name('next'), [OUT, OUT], noise(index + 20, OUT * OUT)),
      floats(name('other'), [OUT, OUT], noise(index + 40, OUT * OUT)),
    );
    const isOwn = op === 'Gemm' && bias !== 'none';
    const product = bias === 'none' || isOwn ? name('p') : name('product');
    const sum = bias === 'vector first' ? ['b', product] : [product, 'b'];
    return [
      node(op, ['x', name('first'), ...(isOwn ? ['b'] : [])], product),
      ...(product === name('p') ? [] : [node('Add', sum, name('p'))]),
      ...follower(name, shape.length + 1),
    ];
  });
  const outputs = FOLLOWERS.map((_, index) => ({ name: `y${index}` }));
  outputs.push({ name: `p${FOLLOWERS.length - 1}` });
  return model({ nodes, initializers, inputs, outputs });
}

function feedsOf({ shape, bias }: Sample): Record<string, OrtTensor> {
  const known = shape.map((dim, axis) => (typeof dim === 'number' ? dim : axis + 2));
  const rows = known.reduce((product, dim) => product * dim, 1);
  return {
    x: new OrtTensor('float32', noise(5, rows * IN), [...known, IN]),
    u: new OrtTensor('float32', noise(6, rows * OUT), [...known, OUT]),
    ...(bias === 'input' && { b: new OrtTensor('float32', noise(4, OUT), [OUT]) }),
  };
}

/** Quantizes the layers under test by `scheme`, those behind them to W8A8, and runs all of it. */
async function expectFused(sample: Sample, scheme: 'w8a8' | 'w8a16'): Promise<void> {
  const source = followed(sample);
  const feeds = [feedsOf(sample)];
  const made = source.graph.nodes.map(({ outputs }) => outputs[0]!);
  const names = made.filter((name) => /^[pr]\d/.test(name));
  const ranges = await observeRanges(source, feeds, ['x', ...names]);
  const rule = `{ match: "^p", scheme: ${scheme} }`;
  const recipe = parseRecipe(`{ name: all, head: w8a8, rules: [${rule}] }`, 'test');
  const plan = planQuantization(source, recipe, ranges);
  expect(plan.totals.layers[scheme]).toBeGreaterThanOrEqual(FOLLOWERS.length);
  const result = await runModel(applyQuantization(source, plan), feeds);
  expect(auditFusion(result.optimized, plan).unfused).toEqual([]);
  const float = await runModel(source, feeds);
  for (const [name, values] of float.outputs) {
    // Two layers of 8 bits in a row keep 0.999; a lost bias or layer leaves less than 0.95.
    expect(cosine(result.outputs.get(name)!, values)).toBeGreaterThan(0.99);
  }
}

const shapes: readonly { readonly label: string; readonly shape: readonly Dim[] }[] = [
  { label: 'rank 2', shape: ['n'] },
  { label: 'rank 2, all dims known', shape: [6] },
  { label: 'rank 3', shape: ['n', 's'] },
  { label: 'rank 3, all dims known', shape: [1, 6] },
  { label: 'rank 4, all dims known', shape: [2, 3, 2] },
];
const biases: readonly Bias[] = ['none', 'vector', 'vector first', 'row', 'input', 'scalar'];

describe.each(['w8a8', 'w8a16'] as const)('%s fuses whatever follows the product', (scheme) => {
  describe.each(shapes)('MatMul, input of $label', ({ shape }) => {
    it.each(biases)('bias: %s', (bias) => expectFused({ op: 'MatMul', shape, bias }, scheme));
  });

  it.each(['none', 'vector', 'row', 'input'] as const)('Gemm, bias: %s', async (bias) => {
    await expectFused({ op: 'Gemm', shape: ['n'], bias }, scheme);
    await expectFused({ op: 'Gemm', shape: [6], bias }, scheme);
  });
});
