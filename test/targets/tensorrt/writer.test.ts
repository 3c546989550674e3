import { describe, expect, it } from 'vitest';
import { UnsupportedError } from '../../../src/errors.ts';
import { type Model, opsetVersion } from '../../../src/ir/model.ts';
import { readTensorBytes } from '../../../src/ir/tensor.ts';
import { float16ToFloat32 } from '../../../src/numerics/float16.ts';
import { planQuantization } from '../../../src/quantize/plan.ts';
import { parseRecipe } from '../../../src/recipe/load.ts';
import type { Lowered, LoweringRequest } from '../../../src/targets/target.ts';
import { lintQdq } from '../../../src/targets/tensorrt/lint-qdq.ts';
import { tensorrtWriter } from '../../../src/targets/tensorrt/writer.ts';
import { linearModel, ranges } from '../../kit/models.ts';

const recipe = parseRecipe('{ name: all, head: w8a8 }', 'test');
const shapes = new Map([['x', { min: [1, 1, 64], opt: [1, 128, 64], max: [1, 512, 64] }]]);

function plan(source: Model) {
  return planQuantization(source, recipe, ranges({ x: [-3, 5] }));
}

function lower(source: Model, given: Partial<LoweringRequest> = {}): Lowered {
  return tensorrtWriter.lower({ model: source, plan: plan(source), options: {}, shapes, ...given });
}

function modelOf({ files: [file] }: Lowered): Model {
  if (file === undefined || !('model' in file)) throw new Error('the first file is the model');
  return file.model;
}

function twinOf(source: Model): Model {
  return lower(source).twin!.model;
}

function quantized(source: Model): Model {
  return modelOf(lower(source));
}

async function bytes(model: Model, name: string): Promise<Uint8Array> {
  return readTensorBytes(model.graph.initializers.get(name)!);
}

describe('tensorrtWriter', () => {
  const source = linearModel({ op: 'MatMul', rank: 3, bias: true, float: 'float16', opset: 17 });

  it('gives the files of the artifact in a fixed order', () => {
    const { files, entry, compiled } = lower(source, {
      tables: {
        tensorrt: { name: 'calibration.cache', content: 'TRT-100300-MinMaxCalibration\n' },
        onnxruntime: [{ name: 'calibration.flatbuffers', content: Uint8Array.of(1) }],
      },
    });
    expect([entry, compiled]).toEqual(['model.int8.qdq.onnx', 'build_engine.sh']);
    expect(files.map(({ name }) => name)).toEqual([
      'model.int8.qdq.onnx',
      'model.fp16.onnx',
      'calibration.cache',
      'calibration.flatbuffers',
      'build_engine.sh',
    ]);
    expect(files.at(-1)).toMatchObject({ isExecutable: true });
  });

  it('writes FP16 scales, symmetric INT8 and opset 19, with nothing for the lint to find', async () => {
    const model = quantized(source);
    expect(opsetVersion(model)).toBe(19);
    expect(await lintQdq(model)).toEqual([]);
    const scale = model.graph.initializers.get('x_scale')!;
    expect(scale.dataType).toBe('float16');
    const bits = new Uint16Array((await readTensorBytes(scale)).buffer)[0]!;
    // 5 / 127 rounded to FP16: 0.039369... lies within half of 2^-15.
    expect(Math.abs(float16ToFloat32(bits) - 5 / 127)).toBeLessThanOrEqual(2 ** -16);
    expect(await bytes(model, 'x_zero_point')).toEqual(Uint8Array.of(0));
    expect(model.graph.initializers.get('b')).toBe(source.graph.initializers.get('b'));
  });

  it('stores a transposed weight in the order of the product, with the same integers', async () => {
    const turned = linearModel({ op: 'MatMul', rank: 3, transposed: true, float: 'float16' });
    const model = quantized(turned);
    expect(model.graph.nodes.map(({ opType }) => opType)).not.toContain('Transpose');
    expect(model.graph.initializers.get('w_quantized')!.dims).toEqual([64, 48]);
    expect(await lintQdq(model)).toEqual([]);
    const twin = twinOf(turned);
    const rows = await bytes(twin, 'w_quantized');
    const columns = await bytes(model, 'w_quantized');
    for (let index = 0; index < rows.length; index++) {
      const [row, column] = [Math.floor(index / 64), index % 64];
      // The twin's integers are the same ones about 128.
      expect(columns[column * 48 + row]).toBe(rows[index]! ^ 0x80);
    }
  });

  it('keeps Gemm a Gemm, bias included', async () => {
    const gemm = linearModel({
      op: 'Gemm',
      rank: 2,
      transposed: true,
      bias: true,
      float: 'float16',
    });
    const flat = new Map([['x', { min: [1, 64], opt: [8, 64], max: [64, 64] }]]);
    const model = modelOf(lower(gemm, { shapes: flat }));
    expect(model.graph.nodes.map(({ opType }) => opType)).toEqual([
      'QuantizeLinear',
      'DequantizeLinear',
      'DequantizeLinear',
      'Gemm',
    ]);
    expect(model.graph.nodes.at(-1)!.inputs[2]).toBe('b');
    expect(await lintQdq(model)).toEqual([]);
  });

  it('refuses a plan of weights alone: TensorRT would fold them back to float', () => {
    const text = '{ name: w, activations: { bits: float } }';
    const weights = planQuantization(source, parseRecipe(text, 'test'), new Map());
    expect(() => lower(source, { plan: weights })).toThrow(UnsupportedError);
  });

  it('names the baseline of an FP32 source after its type', () => {
    const float32 = linearModel({ op: 'MatMul', rank: 3 });
    const names = lower(float32).files.map(({ name }) => name);
    expect(names).toContain('model.fp32.onnx');
  });
});

describe('the twin of a TensorRT artifact', () => {
  it('has the INT8 weights of the artifact and its FP16-rounded scales, in FP32', async () => {
    const source = linearModel({ op: 'MatMul', rank: 3, float: 'float16' });
    const artifact = quantized(source);
    const twin = twinOf(source);
    // uint8 about 128 spans what int8 about 0 spans, and saturates on no CPU beside a uint8 activation.
    expect((await bytes(twin, 'w_quantized')).map((byte) => byte ^ 0x80)).toEqual(
      await bytes(artifact, 'w_quantized'),
    );
    expect(new Set(await bytes(twin, 'w_zero_point'))).toEqual(new Set([128]));
    for (const name of ['w_scale', 'x_scale']) {
      expect(twin.graph.initializers.get(name)!.dataType).toBe('float32');
      const half = new Uint16Array((await bytes(artifact, name)).buffer);
      const full = new Float32Array((await bytes(twin, name)).buffer);
      expect([...full]).toEqual(Array.from(half, float16ToFloat32));
    }
    expect(await bytes(twin, 'x_zero_point')).toEqual(Uint8Array.of(128));
  });
});
