import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { DataType } from '../../src/ir/data-type.ts';
import type { Model } from '../../src/ir/model.ts';
import { inlineTensor, type Tensor } from '../../src/ir/tensor.ts';
import { bfloat16ArrayToFloat32, float32ArrayToBfloat16 } from '../../src/numerics/bfloat16.ts';
import { openModel } from '../../src/storage/model-file.ts';
import { check } from '../../src/workflows/check.ts';
import { exportModel } from '../../src/workflows/export.ts';
import { inspect } from '../../src/workflows/inspect.ts';
import { quantize } from '../../src/workflows/quantize.ts';
import { model, node, noise, value } from '../kit/models.ts';
import { listeningReporter } from '../kit/reporters.ts';
import { type SmallData, sqnrOfY, writeSmall } from '../kit/small-files.ts';

const [WIDTH, HIDDEN] = [64, 96];
const samples: SmallData = { dims: [4, 6, WIDTH], values: noise(9, 4 * 6 * WIDTH) };

/** Numbers that are exact in bfloat16, stored as such or as float32. */
function numbers(name: string, dims: readonly number[], dataType: DataType): Tensor {
  const count = dims.reduce((product, dim) => product * dim, 1);
  const halves = float32ArrayToBfloat16(noise(name.length, count));
  const data = dataType === 'bfloat16' ? halves : bfloat16ArrayToFloat32(halves);
  return inlineTensor(name, dataType, dims, new Uint8Array(data.buffer));
}

/** x -> MatMul + bias -> Relu -> MatMul -> Elu -> y, and a Cast through float32 on the way. */
function mlp(dataType: 'bfloat16' | 'float32'): Model {
  const casts =
    dataType === 'float32'
      ? [node('Relu', ['b'], 'd')]
      : [
          node('Cast', ['b'], 'wide', { to: 1n }),
          node('Relu', ['wide'], 'active'),
          node('Cast', ['active'], 'd', { to: 16n }),
        ];
  return model({
    nodes: [
      node('MatMul', ['x', 'up'], 'a'),
      node('Add', ['a', 'bias'], 'b'),
      ...casts,
      node('MatMul', ['d', 'down'], 'e'),
      node('Elu', ['e'], 'y'),
    ],
    initializers: [
      numbers('up', [WIDTH, HIDDEN], dataType),
      numbers('bias', [HIDDEN], dataType),
      numbers('down', [HIDDEN, WIDTH], dataType),
    ],
    inputs: [value('x', dataType, ['n', 's', WIDTH])],
    outputs: [value('y', dataType, ['n', 's', WIDTH])],
  });
}

describe('A model that computes in bfloat16', () => {
  it.each(['w8a8', 'w8a8-dynamic', 'w8a16', 'w4a16-g32'])(
    'becomes by %s what the same model in float32 becomes',
    async (recipe) => {
      const files = await writeSmall(mlp('bfloat16'), samples);
      const wide = await writeSmall(mlp('float32'), samples);
      const output = join(files.folder, 'out');
      const wideOutput = join(wide.folder, 'out');
      const reporter = listeningReporter();
      const { fusion, plan } = await quantize({ ...files, output, recipe }, reporter);
      await quantize({ ...wide, output: wideOutput, recipe }, listeningReporter());
      expect(reporter.notes).toContain('computes in float32 what the source computes in bfloat16');
      expect(plan.layers.map(({ weight }) => weight.dataType)).toEqual(['bfloat16', 'bfloat16']);
      expect(fusion?.unfused).toEqual([]);
      const artifact = await openModel(join(wideOutput, 'model.onnx'));
      // The same integers and scales: nothing at all is lost by storing weights in bfloat16.
      expect(await sqnrOfY(output, artifact, samples)).toBe(Infinity);
      expect(await sqnrOfY(output, mlp('float32'), samples)).toBeGreaterThan(
        recipe.startsWith('w4') ? 15 : 30,
      );
    },
  );

  it('is checked against its float32 twin, and the check says so', async () => {
    const files = await writeSmall(mlp('bfloat16'), samples);
    const output = join(files.folder, 'out');
    await quantize({ ...files, output }, listeningReporter());
    const options = { artifact: output, device: 'cpu', gates: [], latency: true } as const;
    const result = await check(options, listeningReporter());
    expect(result.device.reference).toBe(
      'float32 twin of the bfloat16 source on cpu, for which onnxruntime has no bfloat16 kernels',
    );
    expect(result.source.label).toBe('bfloat16 source');
    expect(result.latency.length).toBeGreaterThan(0);
    expect(result.accuracy?.outputs[0]?.sqnrDb).toBeGreaterThan(30);
  });

  it('is inspected as it is, with the sizes that it will have', async () => {
    const files = await writeSmall(mlp('bfloat16'), samples);
    const { summary } = await inspect(files);
    expect(summary.inputs.map(({ dataType }) => dataType)).toEqual(['bfloat16']);
    expect(summary.forecasts.find(({ recipe }) => recipe === 'w8a8')?.ratio).toBeLessThan(0.6);
  });

  it('becomes a float32 artifact for TensorRT: float16 would not hold its range', async () => {
    const files = await writeSmall(mlp('bfloat16'), samples);
    const output = join(files.folder, 'out');
    const options = {
      ...files,
      output,
      target: 'tensorrt',
      shape: ['x:1x1x64..2x8x64..4x16x64'],
    } as const;
    await exportModel(options, listeningReporter());
    const manifest = JSON.parse(readFileSync(join(output, 'manifest.json'), 'utf8'));
    expect(manifest.notes).toContain('computes in float32 what the source computes in bfloat16');
    expect(manifest.verified[0].seen).toBe(
      'model.int8.qdq.onnx and model.fp32.onnx load, with graph optimisation off',
    );
    const { graph } = await openModel(join(output, 'model.int8.qdq.onnx'));
    const types = new Set([...graph.initializers.values()].map(({ dataType }) => dataType));
    expect([...types].sort()).toEqual(['float32', 'int8']);
  });
});
