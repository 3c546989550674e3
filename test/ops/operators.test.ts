import { describe, expect, it } from 'vitest';
import { subgraphs } from '../../src/ir/attributes.ts';
import type { Dim, Graph, Model } from '../../src/ir/model.ts';
import { findOp, OPS } from '../../src/ops/index.ts';
import type { OpSpec } from '../../src/ops/op-spec.ts';
import { inferFacts } from '../../src/passes/infer-facts.ts';
import { openModel } from '../../src/storage/model-file.ts';
import { parseModel } from '../golden/graph-text.ts';
import { makeFeeds, runOnce } from '../kit/run-once.ts';

/** `x: float[batch, sequence, 6]` is what graphs read; sizes are 2 and 3 at run time. */
function graph(nodes: string, constants: string): Model {
  return parseModel(`<ir_version: 8, opset_import: ["" : 18, "com.microsoft" : 1]>
    main (float[batch, sequence, 6] x) => ()
    <int64[1] i0 = {0}, int64[1] i1 = {1}, int64[1] i2 = {2}, int64[1] minus = {-1}, int64[1] end = {9223372036854775807},
     int64[4] v = {7, -7, 5, -5}, int64[4] w = {2, 2, -3, -3}, float[3] f = {1.75, -1.75, 0.1}, float[2, 3] m = ramp${constants}>
    { ${nodes} }`);
}

/** Nodes, and constants beside the shared ones: every value made is checked against onnxruntime. */
const CASES: readonly (readonly [nodes: string, constants?: string])[] = [
  ['y = Add(v, w)'],
  ['y = Div(v, w)'],
  ['y = Mod(v, w)'],
  ['y = Mod<fmod = 1>(v, w)'],
  ['y = Cast<to = 7>(f)'],
  ['y = Cast<to = 10>(f)'],
  ['y = Cast<to = 9>(v)'],
  ['y = Mul(f, f)'],
  ['y = Sqrt(f)'],
  ['y = Reciprocal(f)'],
  ['y = Neg(v)'],
  ['y = Max(v, w)'],
  ['y = Less(v, w)'],
  ['t = Less(v, w) y = Where(t, v, w)'],
  ['t = Less(v, w) y = Not(t)'],
  ['y = Slice(v, i1, end)'],
  ['y = Slice(v, minus, low, i0, minus)', ', int64[1] low = {-9223372036854775807}'],
  ['y = Slice(v, i0, end, i0, i2)'],
  ['y = Slice(x, i1, end, i2)'],
  ['y = Slice(m, i1, end, i1)'],
  ['y = Slice(m, minus, low, i0, minus)', ', int64[1] low = {-9223372036854775807}'],
  ['y = Slice(m, a, b)', ', int64[2] a = {1, 0}, int64[2] b = {2, 2}'],
  ['y = NonZero(b)', ', int64[2, 3] b = {0, 1, 2, 3, 0, 5}'],
  ['s = Shape(x) y = Slice(s, minus, end)'],
  ['s = Shape<start = 1>(x) y = Gather<axis = 0>(s, i0)'],
  ['s = Shape<start = -2, end = -1>(x) y = Identity(s)'],
  ['y = Gather<axis = 0>(v, minus)'],
  ['y = Gather<axis = 2>(x, i1)'],
  ['s = Shape(x) p = ReduceProd<keepdims = 0>(s) y = Sqrt(c) q = Identity(p)', ', float c = {4}'],
  ['y = Size(m)'],
  ['y = Concat<axis = 0>(v, w, i2)'],
  ['y = Concat<axis = -1>(x, x)'],
  ['a, y = Split<axis = 0, num_outputs = 2>(f)'],
  ['a, b, y = Split<axis = 2>(x, parts)', ', int64[3] parts = {1, 2, 3}'],
  ['y = Transpose(m)'],
  ['y = Transpose<perm = [2, 0, 1]>(x)'],
  ['y = Reshape(v, s)', ', int64[2] s = {2, -1}'],
  ['y = Reshape(x, s)', ', int64[4] s = {0, 0, -1, 2}'],
  ['y = Reshape(x, s)', ', int64[2] s = {-1, 6}'],
  ['y = Flatten<axis = 2>(x)'],
  ['y = Unsqueeze(v, s)', ', int64[2] s = {0, -1}'],
  ['t = Unsqueeze(v, s) y = Squeeze(t)', ', int64[2] s = {0, 2}'],
  ['t = Unsqueeze(x, i1) y = Squeeze(t, i1)'],
  ['y = Expand(i2, s)', ', int64[2] s = {2, 3}'],
  ['y = Expand(x, s)', ', int64[4] s = {4, 1, 1, 6}'],
  ['y = Tile(x, s)', ', int64[3] s = {1, 2, 3}'],
  ['y = Range(a, b, c)', ', int64 a = {10}, int64 b = {1}, int64 c = {-3}'],
  ['y = Range(a, b, c)', ', float a = {0}, float b = {1}, float c = {0.3}'],
  ['y = ConstantOfShape<value = int64[1] one {5}>(s)', ', int64[2] s = {2, 2}'],
  ['y = ConstantOfShape(i2)'],
  ['y = EyeLike<dtype = 7>(m)'],
  ['y = ReduceMean(x, i1)'],
  ['y = ReduceMean<keepdims = 0>(x, minus)'],
  ['y = ReduceSum(v)'],
  ['y = ReduceMax<keepdims = 0>(v)'],
  ['y = ArgMax<axis = -1, keepdims = 0>(x)'],
  ['t, y = TopK<axis = -1>(x, i2)'],
  ['y = MatMul(x, w2)', ', float[6, 4] w2 = ramp'],
  ['y = MatMul(x, w1)', ', float[6] w1 = ramp'],
  ['y = MatMul(f, m2)', ', float[3, 2] m2 = ramp'],
  ['y = Gemm<transA = 1, transB = 1>(m, m2)', ', float[4, 2] m2 = ramp'],
  ['y = Pad(x, s)', ', int64[6] s = {0, 1, 2, 0, 1, 2}'],
  ['y = CumSum(x, i1)'],
  ['y = Trilu(x)'],
  ['y = IsNaN(x)'],
  ['y = OneHot<axis = 1>(v, six, pair)', ', int64 six = {6}, float[2] pair = {0, 1}'],
  [
    'y = Conv<strides = [2, 2], pads = [1, 1, 1, 1]>(image, k)',
    ', float[1, 3, 9, 8] image = ramp, float[4, 3, 3, 3] k = ramp',
  ],
  [
    'y = Conv<strides = [2], dilations = [2]>(sound, k)',
    ', float[1, 3, 20] sound = ramp, float[4, 3, 3] k = ramp',
  ],
  [
    'y = MaxPool<kernel_shape = [2, 2], ceil_mode = 1, strides = [2, 2]>(image)',
    ', float[1, 3, 9, 8] image = ramp',
  ],
  ['y = GlobalAveragePool(image)', ', float[1, 3, 9, 8] image = ramp'],
  ['y = Resize(image, , , s)', ', float[1, 3, 9, 8] image = ramp, int64[4] s = {1, 3, 5, 4}'],
  ['y = DepthToSpace<blocksize = 2>(image)', ', float[1, 8, 3, 4] image = ramp'],
  ['y = LayerNormalization(x, w1)', ', float[6] w1 = ramp'],
  ['y = InstanceNormalization(image, c, c)', ', float[1, 3, 9, 8] image = ramp, float[3] c = ramp'],
  ['y = SimplifiedLayerNormalization(x, w1)', ', float[6] w1 = ramp'],
  ['t, , , y = com.microsoft.SkipSimplifiedLayerNormalization(x, x, w1)', ', float[6] w1 = ramp'],
  ['y = com.microsoft.FastGelu(x)'],
  ['y = com.microsoft.MultiHeadAttention<num_heads = 2>(x, x, x)'],
  ['q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z)', ', float s = {0.5}, int8 z = {0}'],
  ['q = QuantizeLinear(x, s, z) y = Identity(q)', ', float s = {0.5}, int8 z = {0}'],
  ['y, s, z = DynamicQuantizeLinear(x)'],
  ['y = GatherND(m, s)', ', int64[2, 1] s = {1, 0}'],
  ['y = GatherElements<axis = 0>(m, s)', ', int64[1, 2] s = {1, 0}'],
  ['y = ScatterND(v, s, u)', ', int64[1, 1] s = {2}, int64[1] u = {9}'],
];

/** How many elements of each output are known without a run, for the cases where any are. */
const KNOWN: Readonly<Record<string, readonly number[]>> = {
  'y = Add(v, w)': [4],
  'y = Div(v, w)': [4],
  'y = Mod(v, w)': [4],
  'y = Mod<fmod = 1>(v, w)': [4],
  'y = Cast<to = 7>(f)': [3],
  'y = Cast<to = 10>(f)': [3],
  'y = Cast<to = 9>(v)': [4],
  'y = Mul(f, f)': [3],
  'y = Sqrt(f)': [3],
  'y = Reciprocal(f)': [3],
  'y = Neg(v)': [4],
  'y = Max(v, w)': [4],
  'y = Less(v, w)': [4],
  't = Less(v, w) y = Where(t, v, w)': [4, 4],
  't = Less(v, w) y = Not(t)': [4, 4],
  'y = Slice(v, i1, end)': [3],
  'y = Slice(v, minus, low, i0, minus), int64[1] low = {-9223372036854775807}': [4],
  'y = Slice(v, i0, end, i0, i2)': [2],
  'y = Slice(m, i1, end, i1)': [4],
  'y = Slice(m, minus, low, i0, minus), int64[1] low = {-9223372036854775807}': [6],
  'y = Slice(m, a, b), int64[2] a = {1, 0}, int64[2] b = {2, 2}': [2],
  'y = NonZero(b), int64[2, 3] b = {0, 1, 2, 3, 0, 5}': [8],
  's = Shape(x) y = Slice(s, minus, end)': [3, 1],
  's = Shape<start = 1>(x) y = Gather<axis = 0>(s, i0)': [2, 1],
  's = Shape<start = -2, end = -1>(x) y = Identity(s)': [1, 1],
  'y = Gather<axis = 0>(v, minus)': [1],
  's = Shape(x) p = ReduceProd<keepdims = 0>(s) y = Sqrt(c) q = Identity(p), float c = {4}': [
    3, 1, 1, 1,
  ],
  'y = Size(m)': [1],
  'y = Concat<axis = 0>(v, w, i2)': [9],
  'a, y = Split<axis = 0, num_outputs = 2>(f)': [2, 1],
  'y = Transpose(m)': [6],
  'y = Reshape(v, s), int64[2] s = {2, -1}': [4],
  'y = Unsqueeze(v, s), int64[2] s = {0, -1}': [4],
  't = Unsqueeze(v, s) y = Squeeze(t), int64[2] s = {0, 2}': [4, 4],
  'y = Expand(i2, s), int64[2] s = {2, 3}': [6],
  'y = Range(a, b, c), int64 a = {10}, int64 b = {1}, int64 c = {-3}': [3],
  'y = Range(a, b, c), float a = {0}, float b = {1}, float c = {0.3}': [4],
  'y = ConstantOfShape<value = int64[1] one {5}>(s), int64[2] s = {2, 2}': [4],
  'y = ConstantOfShape(i2)': [2],
  'y = ReduceSum(v)': [1],
  'y = ReduceMax<keepdims = 0>(v)': [1],
};

function knownElements([nodes, constants = '']: (typeof CASES)[number]): readonly number[] {
  const model = graph(nodes, constants);
  const facts = inferFacts(model).of(model.graph);
  return model.graph.nodes.flatMap(({ outputs }) =>
    outputs
      .filter((name) => name !== '')
      .map((name) => facts.get(name)?.elements?.filter((one) => one !== undefined).length ?? 0),
  );
}

/** Types of operators that evaluate constants in some case. */
function evaluating(): readonly string[] {
  const types = CASES.flatMap(([nodes, constants = '']) => {
    const model = graph(nodes, constants);
    const facts = inferFacts(model).of(model.graph);
    return model.graph.nodes
      .filter(({ outputs }) => outputs.some((name) => facts.get(name)?.elements !== undefined))
      .map(({ opType }) => opType);
  });
  return [...new Set(types)].sort();
}

describe('operators', () => {
  it('evaluate as many elements as they always did', () => {
    const found = CASES.map((one) => [one.join(''), knownElements(one)] as const);
    const known = Object.fromEntries(found.filter(([, counts]) => counts.some(Boolean)));
    expect(known).toEqual(KNOWN);
  });

  it.each(evaluating())('the counts above notice when %s evaluates no more', (opType) => {
    const before = CASES.map(knownElements);
    const spec = findOp('', opType) as { infer: OpSpec['infer'] };
    const { infer } = spec;
    spec.infer = (...args) => infer(...args).map(({ elements: _, ...facts }) => facts);
    try {
      expect(CASES.map(knownElements)).not.toEqual(before);
    } finally {
      spec.infer = infer;
    }
  });

  it.each(CASES.map(([nodes, constants = '']) => ({ nodes, constants })))(
    '$nodes',
    async ({ nodes, constants }) => {
      const model = graph(nodes, constants);
      const facts = inferFacts(model).of(model.graph);
      const made = model.graph.nodes.flatMap(({ outputs }) =>
        outputs.filter((name) => name !== ''),
      );
      const exposed: Model = {
        ...model,
        graph: {
          ...model.graph,
          outputs: made.map((name) => {
            const dataType = facts.get(name)?.dataType ?? 'float32';
            return { name, type: { kind: 'tensor', dataType } };
          }),
        },
      };
      const results = await runOnce(exposed, makeFeeds(model, { batch: 2, sequence: 3 }));
      for (const name of made) {
        const known = facts.get(name);
        const actual = results.get(name);
        expect(known?.shape?.length, `rank of ${name}`).toBe(actual?.dims.length);
        known?.shape?.forEach((dim, axis) => {
          expect(numberOf(dim), `axis ${axis} of ${name}`).toBe(actual?.dims[axis]);
        });
        known?.elements?.forEach((element, index) => {
          if (element !== undefined)
            expect(numberOf(element), `element ${index} of ${name}`).toBe(actual?.values[index]);
        });
      }
      // A case that evaluates nothing must at least know a shape; those of constants know all elements.
      expect(made.every((name) => facts.get(name)?.shape !== undefined)).toBe(true);
    },
  );

  it('knows every operator of every fixture', async () => {
    for (const name of ['dynamo-opset18', 'dynamo-opset23', 'torchscript', 'optimum', 'genai']) {
      const { graph: main } = await openModel(`fixtures/glm-nano/${name}/model.onnx`);
      expect(unknownOps(main)).toEqual([]);
    }
    for (const name of ['dynamo-opset18', 'optimum', 'torchscript-opset14']) {
      const { graph: main } = await openModel(`fixtures/vit-fashion/${name}/model.onnx`);
      expect(unknownOps(main)).toEqual([]);
    }
  });

  it('says of an unknown operator nothing, and fails nowhere', () => {
    const model = graph('t = ai.example.Unheard(x) y = Relu(t)', '');
    expect(inferFacts(model).of(model.graph).get('t')).toEqual({});
  });

  it('lists every operator once', () => {
    const keys = OPS.map(({ domain, opType }) => `${domain}:${opType}`);
    expect(keys.filter((key, index) => keys.indexOf(key) !== index)).toEqual([]);
  });

  it('counts multiply-accumulates of matrix products', () => {
    const model = graph('y = MatMul(m, w2)', ', float[3, 5] w2 = ramp');
    const facts = inferFacts(model).of(model.graph);
    const [node] = model.graph.nodes;
    if (node === undefined) throw new Error('the graph is empty');
    const inputs = node.inputs.map((name) => facts.get(name) ?? {});
    expect(findOp('', 'MatMul')?.macs?.(node, inputs, [facts.get('y') ?? {}])).toBe(2 * 3 * 5);
  });
});

function unknownOps(main: Graph): readonly string[] {
  return main.nodes.flatMap((node) => [
    ...(findOp(node.domain, node.opType) === undefined ? [`${node.domain}:${node.opType}`] : []),
    ...subgraphs(node).flatMap(unknownOps),
  ]);
}

function numberOf(dim: Dim): number | undefined {
  if (typeof dim !== 'string') return dim;
  return Function('batch', 'sequence', `return ${dim}`)(2, 3);
}
