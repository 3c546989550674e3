import { Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { UnsupportedError } from '../../../src/errors.ts';
import { type Model, opsetVersion } from '../../../src/ir/model.ts';
import { readTensorBytes } from '../../../src/ir/tensor.ts';
import { planQuantization } from '../../../src/quantize/plan.ts';
import { builtInRecipe, parseRecipe } from '../../../src/recipe/load.ts';
import { applyQuantization } from '../../../src/targets/onnx/apply.ts';
import { auditFusion } from '../../../src/targets/onnx/audit-fusion.ts';
import {
  floats,
  IN,
  type LinearSpec,
  linearModel,
  model,
  node,
  noise,
  OUT,
  ranges,
  value,
} from '../../kit/models.ts';
import { runModel } from '../../kit/run-model.ts';

// A layer that makes a graph output is a head; here it is the layer under test.
const w8a8 = parseRecipe('{ name: all, head: w8a8 }', 'test');
/** Weight-only with a scale per channel, as W8A8 recipes have it. */
const w8a16 = parseRecipe('{ name: by-channel, activations: { bits: float } }', 'test');

function opTypes(quantized: Model): string[] {
  return quantized.graph.nodes.map(({ opType }) => opType);
}

async function float32s(quantized: Model, name: string): Promise<number[]> {
  const bytes = await readTensorBytes(quantized.graph.initializers.get(name)!);
  return [...new Float32Array(bytes.buffer)];
}

function worst(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((max, x, index) => Math.max(max, Math.abs(x - b[index]!)), 0);
}

const spellings: readonly (LinearSpec & { readonly form: string })[] = [
  { op: 'MatMul', rank: 3, form: 'MatMulIntegerToFloat' },
  { op: 'MatMul', rank: 3, bias: true, form: 'MatMulIntegerToFloat' },
  { op: 'MatMul', rank: 3, transposed: true, form: 'MatMulIntegerToFloat' },
  { op: 'MatMul', rank: 3, transposed: true, bias: true, form: 'MatMulIntegerToFloat' },
  { op: 'MatMul', rank: 2, form: 'QGemm' },
  { op: 'MatMul', rank: 2, bias: true, form: 'QGemm' },
  { op: 'MatMul', rank: 2, transposed: true, bias: true, form: 'QGemm' },
  { op: 'Gemm', rank: 2, form: 'QGemm' },
  { op: 'Gemm', rank: 2, bias: true, form: 'QGemm' },
  { op: 'Gemm', rank: 2, transposed: true, form: 'QGemm' },
  { op: 'Gemm', rank: 2, transposed: true, bias: true, form: 'QGemm' },
];

function label({ op, rank, transposed, bias }: LinearSpec): string {
  return `${op} of rank ${rank}${transposed ? ', weight transposed' : ''}${bias ? ', with bias' : ''}`;
}

describe('applyQuantization, every spelling of a linear layer', () => {
  const rows = 6;
  const x = noise(7, rows * IN);
  const feed = ({ rank }: LinearSpec) => ({
    x: new OrtTensor('float32', x, rank === 2 ? [rows, IN] : [2, rows / 2, IN]),
  });

  for (const spec of spellings) {
    it(`W8A8 ${label(spec)} runs as ${spec.form}, within the rounding of its steps`, async () => {
      const source = linearModel(spec);
      const plan = planQuantization(source, w8a8, ranges({ x: [-1, 1] }));
      expect(plan.layers.map(({ form }) => form)).toEqual([spec.form]);
      const quantized = await runModel(applyQuantization(source, plan), [feed(spec)]);
      expect(auditFusion(quantized.optimized, plan)).toEqual({
        planned: 1,
        fused: 1,
        kernels: { [spec.form]: 1 },
        unfused: [],
        takenBack: [],
      });
      const float = await runModel(source, [feed(spec)]);
      // |error| <= sum over K of |w| stepX/2 + |x| stepW/2 + stepX stepW/4, all of |w|, |x| <= 1.
      const [stepX, stepW] = [2 / 255, 1 / 127];
      const bound = IN * (stepX / 2 + stepW / 2 + (stepX * stepW) / 4);
      expect(worst(float.outputs.get('y')!, quantized.outputs.get('y')!)).toBeLessThan(bound);
      // Errors of 64 terms add like a random walk, far below that bound.
      expect(worst(float.outputs.get('y')!, quantized.outputs.get('y')!)).toBeLessThan(0.08);
    });

    it(`W8A16 ${label(spec)} runs as MatMulNBits`, async () => {
      const source = linearModel(spec);
      const plan = planQuantization(source, w8a16, new Map());
      const quantized = await runModel(applyQuantization(source, plan), [feed(spec)]);
      expect(auditFusion(quantized.optimized, plan).kernels).toEqual({ MatMulNBits: 1 });
      const float = await runModel(source, [feed(spec)]);
      expect(worst(float.outputs.get('y')!, quantized.outputs.get('y')!)).toBeLessThan(0.08);
    });
  }

  it('runs an FP16 model as its FP32 twin, with weights from the FP16 bytes', async () => {
    const source = linearModel({ op: 'MatMul', rank: 3, bias: true, float: 'float16' });
    const plan = planQuantization(source, w8a8, ranges({ x: [-1, 1] }));
    const quantized = applyQuantization(source, plan);
    expect(opTypes(quantized)).not.toContain('Cast');
    const types = [...quantized.graph.initializers.values()].map(({ dataType }) => dataType);
    expect(types).not.toContain('float16');
    const result = await runModel(quantized, [feed({ op: 'MatMul', rank: 3 })]);
    expect(auditFusion(result.optimized, plan).fused).toBe(1);
  });
});

describe('applyQuantization, by hand', () => {
  const weights = [127, -2, -63.5, 1, 0, 0.5];
  const eye = (rows: number): number[] =>
    Array.from({ length: rows * 16 }, (_, index) => weights[index % 6]!);

  it('gives weights the scale absmax / 127 and ties to even', async () => {
    const values = new Float32Array(16 * 16);
    values.set([127, 2.5, 3.5, -2.5, -127]);
    const source = model({
      nodes: [node('MatMul', ['x', 'w'], 'y')],
      initializers: [floats('w', [16, 16], values)],
      inputs: [value('x', 'float32', ['n', 's', 16])],
      outputs: [value('y', 'float32', ['n', 's', 16])],
    });
    const plan = planQuantization(source, w8a8, ranges({ x: [-3, 5] }));
    const quantized = applyQuantization(source, plan);
    // Column scales: 127/127, 2.5/127, 3.5/127, 2.5/127, 127/127; zero columns get 1.
    const scales = await float32s(quantized, 'w_scale');
    expect(scales.slice(0, 6)).toEqual([1, 2.5 / 127, 3.5 / 127, 2.5 / 127, 1, 1].map(Math.fround));
    const bytes = await readTensorBytes(quantized.graph.initializers.get('w_quantized')!);
    expect([...new Int8Array(bytes.buffer)].slice(0, 6)).toEqual([127, 127, 127, -127, -127, 0]);
    // uint8 over -3..5: scale 8/255, zero point round(3 / (8/255)) = 96.
    expect(await float32s(quantized, 'x_scale')).toEqual([Math.fround(8 / 255)]);
    expect(await readTensorBytes(quantized.graph.initializers.get('x_zero_point')!)).toEqual(
      Uint8Array.of(96),
    );
    expect(quantized.graph.initializers.has('w')).toBe(false);
  });

  it('shares one QuantizeLinear pair among the layers that read a value', () => {
    const source = model({
      nodes: [
        node('MatMul', ['x', 'q'], 'a'),
        node('MatMul', ['x', 'k'], 'b'),
        node('Mul', ['a', 'b'], 'y'),
      ],
      initializers: [floats('q', [16, 16], eye(16)), floats('k', [16, 16], eye(16))],
      inputs: [value('x', 'float32', ['n', 's', 16])],
      outputs: [value('y', 'float32', ['n', 's', 16])],
    });
    const plan = planQuantization(source, w8a8, ranges({ x: [-1, 1] }));
    expect(opTypes(applyQuantization(source, plan))).toEqual([
      'QuantizeLinear',
      'DequantizeLinear',
      'DequantizeLinear',
      'MatMul',
      'DequantizeLinear',
      'MatMul',
      'Mul',
    ]);
  });

  it('quantizes both products of a module that multiplies twice', () => {
    const twice = (name: string, inputs: string[], output: string) => ({
      ...node('MatMul', inputs, output),
      name,
    });
    const source = model({
      nodes: [
        twice('/block/mixer/MatMul', ['x', 'q'], 'a'),
        node('Tanh', ['a'], 'b'),
        twice('/block/mixer/MatMul_1', ['b', 'k'], 'c'),
        node('Tanh', ['c'], 'y'),
      ],
      initializers: [floats('q', [16, 16], eye(16)), floats('k', [16, 16], eye(16))],
      inputs: [value('x', 'float32', ['n', 's', 16])],
      outputs: [value('y', 'float32', ['n', 's', 16])],
    });
    const plan = planQuantization(source, w8a8, ranges({ x: [-1, 1], b: [-1, 1] }));
    expect(plan.layers.map(({ name }) => name)).toEqual(['block.mixer', 'block.mixer#2']);
    const names = [...applyQuantization(source, plan).graph.initializers.keys()];
    expect(names).toEqual(expect.arrayContaining(['q_quantized', 'k_quantized']));
    expect(names).not.toContain('q');
    expect(names).not.toContain('k');
  });

  it('leaves the float model as it was, and is deterministic', async () => {
    const source = linearModel({ op: 'MatMul', rank: 3, bias: true });
    const before = [...source.graph.initializers.keys()];
    const plan = planQuantization(source, w8a8, ranges({ x: [-1, 1] }));
    const first = applyQuantization(source, plan);
    const second = applyQuantization(source, plan);
    expect([...source.graph.initializers.keys()]).toEqual(before);
    expect(first.graph.nodes).toEqual(second.graph.nodes);
    for (const [name, tensor] of first.graph.initializers) {
      const twin = second.graph.initializers.get(name)!;
      expect(await readTensorBytes(tensor)).toEqual(await readTensorBytes(twin));
    }
  });

  it('refuses NaN in a weight when it is read, naming the tensor', async () => {
    const values = noise(1, 16 * 16);
    values[20] = Number.NaN;
    const source = model({
      nodes: [node('MatMul', ['x', 'bad.weight'], 'y')],
      initializers: [floats('bad.weight', [16, 16], values)],
      inputs: [value('x', 'float32', ['n', 's', 16])],
      outputs: [value('y', 'float32', ['n', 's', 16])],
    });
    const quantized = applyQuantization(source, planQuantization(source, w8a16, new Map()));
    const tensor = quantized.graph.initializers.get('bad.weight_quantized')!;
    await expect(readTensorBytes(tensor)).rejects.toThrow(/bad\.weight.*NaN.*column 4/);
  });

  it('refuses a plan of another model', () => {
    const plan = planQuantization(linearModel({ op: 'Gemm', rank: 2 }), w8a16, new Map());
    const other = { ...plan, layers: [{ ...plan.layers[0]!, name: 'elsewhere' }] };
    expect(() => applyQuantization(linearModel({ op: 'Gemm', rank: 2 }), other)).toThrow(
      UnsupportedError,
    );
  });

  it('raises models of opset 11, which has no scale per channel, and refuses older ones', () => {
    const written = (opset: number): Model => {
      const source = linearModel({ op: 'Gemm', rank: 2, opset });
      return applyQuantization(source, planQuantization(source, w8a16, new Map()));
    };
    expect(opsetVersion(written(11))).toBe(13);
    expect(() => written(10)).toThrow(/opset 10/);
  });
});

/** ids -> table row -> tanh -> logits; with `tied` the head reads the transposed table. */
function languageModel(float: 'float32' | 'float16', tied: boolean): Model {
  const [vocabulary, width] = [100, 64];
  const table = floats(
    'embed_tokens.weight',
    [vocabulary, width],
    noise(3, vocabulary * width),
    float,
  );
  const head = tied
    ? node('Transpose', ['embed_tokens.weight'], 'head.weight', { perm: [1n, 0n] })
    : undefined;
  return model({
    nodes: [
      node('Gather', ['embed_tokens.weight', 'input_ids'], 'embedded'),
      node('Tanh', ['embedded'], 'hidden'),
      ...(head === undefined ? [] : [head]),
      node('MatMul', ['hidden', 'head.weight'], 'logits'),
    ],
    initializers: tied
      ? [table]
      : [table, floats('head.weight', [width, vocabulary], noise(4, vocabulary * width), float)],
    inputs: [value('input_ids', 'int64', ['batch', 'sequence'])],
    outputs: [value('logits', float, ['batch', 'sequence', vocabulary])],
  });
}

describe('applyQuantization of token tables', () => {
  const ids = { input_ids: new OrtTensor('int64', BigInt64Array.of(0n, 7n, 99n, 7n), [2, 2]) };

  for (const float of ['float32', 'float16'] as const) {
    it(`stores a tied ${float} table and head once, and the head still fuses`, async () => {
      const source = languageModel(float, true);
      const plan = planQuantization(source, builtInRecipe('w8a8'), new Map());
      expect(plan.embeddings.map(({ scheme }) => scheme)).toEqual(['int8']);
      const quantized = applyQuantization(source, plan);
      const tables = [...quantized.graph.initializers.values()].filter(
        ({ dims }) => dims.length === 2 && dims[1] === 64,
      );
      expect(tables.map(({ dataType }) => dataType)).toEqual(['int8']);
      const result = await runModel(quantized, [ids]);
      const audit = auditFusion(result.optimized, plan);
      expect(audit.fused).toBe(audit.planned);
      const exact = await runModel(source, [ids]);
      expect(worst(exact.outputs.get('logits')!, result.outputs.get('logits')!)).toBeLessThan(0.1);
    });
  }

  it('gathers INT8 rows times their scale', async () => {
    const source = languageModel('float32', false);
    const recipe = parseRecipe('{ name: rows, head: float, activations: { bits: float } }', 'test');
    const plan = planQuantization(source, recipe, new Map());
    const quantized = await runModel(applyQuantization(source, plan), [ids]);
    expect(quantized.optimized.graph.nodes.map(({ opType }) => opType)).not.toContain(
      'DequantizeLinear',
    );
    const exact = await runModel(source, [ids]);
    // 64 terms of at most half a step of 1/127 each, slopes of tanh and weights at most 1.
    const bound = (64 * 0.5) / 127;
    expect(worst(exact.outputs.get('logits')!, quantized.outputs.get('logits')!)).toBeLessThan(
      bound,
    );
  });

  it('leaves a table float that is tied to a float head', () => {
    const source = languageModel('float32', true);
    const recipe = parseRecipe('{ name: a, head: float }', 'test');
    expect(() => planQuantization(source, recipe, ranges({}))).toThrow(UnsupportedError);
  });

  it('keeps sizes: tied INT8 table and two sets of scales', () => {
    const plan = planQuantization(languageModel('float16', true), w8a16, new Map());
    expect(plan.totals.bytesBefore).toBe(100 * 64 * 2);
    expect(plan.totals.bytesAfter).toBe(100 * 64 + 2 * 100 * 4);
  });

  it('widths of features are those of the layer', () => {
    const plan = planQuantization(linearModel({ op: 'MatMul', rank: 3 }), w8a16, new Map());
    expect(plan.layers[0]).toMatchObject({ inFeatures: IN, outFeatures: OUT });
  });
});
