import { Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it, vi } from 'vitest';
import { UnsupportedError } from '../../../src/errors.ts';
import { milElementCount } from '../../../src/formats/coreml/mil.ts';
import { inlineTensor } from '../../../src/ir/tensor.ts';
import { createWeightKernel } from '../../../src/numerics/weight-kernel.ts';
import { prepareModel } from '../../../src/passes/prepare-model.ts';
import { recognize } from '../../../src/structure/recognize.ts';
import { lowerToCoreml } from '../../../src/targets/coreml/lower.ts';
import { EXPORTS, evaluate, fixtureSizes, likeness } from '../../kit/coreml.ts';
import { floats, model, node, value } from '../../kit/models.ts';
import { fixture } from '../../kit/run-model.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

async function prepared(path: string) {
  return prepareModel(await fixture(path), path).model;
}

describe('lowering to Core ML', () => {
  it.each(EXPORTS)(
    '%s in FP16 agrees with onnxruntime with every operation rounded',
    async (path) => {
      const source = await prepared(path);
      for (const tokens of [1, 7, 64]) {
        const lowered = lowerToCoreml(source, { sizes: fixtureSizes(tokens) });
        expect(await likeness(source, lowered, 'rounded')).toBeGreaterThan(0.9999);
        expect(await likeness(source, lowered, 'float32')).toBeGreaterThan(0.99999);
      }
    },
    60_000,
  );

  it.each([
    ['glm-nano/torchscript', 16, 0.53],
    ['glm-nano/torchscript', 18, 0.53],
    // Before iOS 18 every layer has a vector of zero points with a record of its own: much, of 215 kB.
    ['vit-fashion/optimum', 17, 0.58],
    ['vit-fashion/optimum', 18, 0.56],
  ] as const)(
    '%s in INT8 for iOS %i keeps its outputs and halves its weights',
    async (path, minIos, most) => {
      const source = await prepared(path);
      const sizes = fixtureSizes(7);
      const layers = new Set(recognize(source).linears.map(({ name }) => name));
      const float = lowerToCoreml(source, { sizes, minIos });
      const lowered = lowerToCoreml(source, {
        sizes,
        minIos,
        int8: { layers, kernel: createWeightKernel() },
      });
      const bytes = ({ files }: typeof lowered) =>
        files.find(({ name }) => name.endsWith('weight.bin'))!.byteLength;
      expect(bytes(lowered) / bytes(float)).toBeLessThan(most);
      expect(await likeness(source, lowered, 'rounded')).toBeGreaterThan(0.999);
    },
    60_000,
  );

  it('computes the root mean square of values whose squares pass fp16', async () => {
    const [x, y] = [value('x', 'float32', [1, 4]), value('y', 'float32', [1, 4])];
    const rms = { ...node('RMSNormalization', ['x', 'w'], 'y', { epsilon: 1e-5 }) };
    const source = model({
      nodes: [rms],
      initializers: [floats('w', [4], [1, 2, 1, 0.5])],
      inputs: [x],
      outputs: [y],
      opset: 23,
    });
    const { program } = lowerToCoreml(source, { sizes: {} });
    for (const row of [
      [6000, -300, 12, 0.5],
      [1e-3, 2e-3, -1e-3, 0],
      [0, 0, 0, 0],
    ]) {
      const found = await evaluate(
        program,
        { x: new OrtTensor('float32', Float32Array.from(row), [1, 4]) },
        'rounded',
      );
      const root = Math.sqrt(row.reduce((sum, one) => sum + one * one, 0) / 4 + 1e-5);
      // Two roundings of fp16 per step, some ten steps: a percent of the largest is far off, half of it is not.
      [1, 2, 1, 0.5].forEach((weight, at) => {
        expect(Math.abs(Number(found['y']!.data[at]) - (row[at]! / root) * weight)).toBeLessThan(
          5e-3,
        );
      });
    }
  });

  it('keeps fully masked rows finite', async () => {
    const source = model({
      nodes: [
        node('Where', ['seen', 'zero', 'low'], 'mask'),
        node('Add', ['x', 'mask'], 'scores'),
        node('Softmax', ['scores'], 'y', { axis: -1n }),
      ],
      initializers: [floats('zero', [], [0]), floats('low', [], [-Infinity])],
      inputs: [value('x', 'float32', [1, 3]), value('ids', 'int64', [1, 3])],
      outputs: [value('y', 'float32', [1, 3])],
    });
    const nodes = [node('Cast', ['ids'], 'seen', { to: 9n }), ...source.graph.nodes];
    const { program } = lowerToCoreml(
      { ...source, graph: { ...source.graph, nodes } },
      { sizes: {} },
    );
    const feeds = (seen: number[]) => ({
      x: new OrtTensor('float32', Float32Array.of(1, 2, 3), [1, 3]),
      ids: new OrtTensor('int32', Int32Array.from(seen), [1, 3]),
    });
    expect(
      [...(await evaluate(program, feeds([0, 0, 0]), 'rounded'))['y']!.data].every((one) =>
        Number.isFinite(Number(one)),
      ),
    ).toBe(true);
    expect(Number((await evaluate(program, feeds([1, 1, 0]), 'rounded'))['y']!.data[2])).toBe(0);
  });

  it('names every node that it cannot write, its operator and what to do', () => {
    const source = model({
      nodes: [node('Hardmax', ['x'], 'a'), node('Relu', ['a'], 'b'), node('Det', ['b'], 'y')],
      inputs: [value('x', 'float32', [2, 2])],
      outputs: [value('y', 'float32', [])],
    });
    const nodes = source.graph.nodes;
    expect(nodes).toHaveLength(3);
    const attempt = () => lowerToCoreml(source, { sizes: {} });
    expect(attempt).toThrow(UnsupportedError);
    expect(attempt).toThrow(/2 nodes cannot be written .*Hardmax.*Det.*target onnx/s);
  });

  it('asks for sizes that are missing, by name', async () => {
    const source = await prepared('glm-nano/torchscript');
    expect(() => lowerToCoreml(source, { sizes: { batch: 1 } })).toThrow(
      /sequence.*--shape input_ids:1x64/s,
    );
  });

  it('counts constant indices from the start, because Core ML leaves negative ones undefined', async () => {
    const indices = inlineTensor(
      'i',
      'int64',
      [2],
      new Uint8Array(new BigInt64Array([-1n, 0n]).buffer),
    );
    const source = model({
      nodes: [node('Gather', ['x', 'i'], 'y', { axis: 1n })],
      initializers: [indices],
      inputs: [value('x', 'float32', [1, 3])],
      outputs: [value('y', 'float32', [1, 2])],
    });
    const { program } = lowerToCoreml(source, { sizes: {} });
    const constants = program.functions[0]!.operations.flatMap(({ attributes }) => {
      const data = attributes.get('val')?.data;
      return data?.kind === 'numbers' ? [data.numbers.join()] : [];
    });
    expect(constants).toContain('2,0');
    expect(constants).not.toContain('-1,0');
    const feeds = { x: new OrtTensor('float32', Float32Array.of(1, 2, 3), [1, 3]) };
    expect([...(await evaluate(program, feeds, 'rounded'))['y']!.data]).toEqual([3, 1]);
  });

  it('refuses integers that int32 does not hold', () => {
    const wide = {
      name: 'k',
      dataType: 'int64' as const,
      dims: [1],
      source: floats('k', [2], [0, 0]).source,
    };
    const bytes = new Uint8Array(new BigInt64Array([2n ** 40n]).buffer);
    const k = { ...wide, source: { ...wide.source, bytes, byteLength: 8 } };
    const source = model({
      nodes: [node('Add', ['x', 'k'], 'y')],
      initializers: [k],
      inputs: [value('x', 'int64', [1])],
      outputs: [value('y', 'int64', [1])],
    });
    expect(() => lowerToCoreml(source, { sizes: {} })).toThrow(/int32/);
  });

  it('writes the same bytes twice, and as many as it forecasts', async () => {
    const source = await prepared('vit-fashion/optimum');
    const write = async (): Promise<string[]> => {
      const written: string[] = [];
      for (const file of lowerToCoreml(source, { sizes: fixtureSizes(1) }).files) {
        const parts: Uint8Array[] = [];
        for await (const bytes of file.read()) parts.push(bytes.slice());
        const all = Buffer.concat(parts);
        expect(all.length).toBe(file.byteLength);
        written.push(`${file.name} ${all.toString('base64')}`);
      }
      return written;
    };
    expect(await write()).toEqual(await write());
  });

  it('stores tied weights once', async () => {
    const source = await prepared('glm-nano/torchscript');
    const { program } = lowerToCoreml(source, { sizes: fixtureSizes(1) });
    const stored = program.functions[0]!.operations.filter(
      ({ attributes }) => attributes.get('val')?.data.kind === 'blob',
    );
    const bytes = stored.reduce(
      (sum, { outputs }) => sum + 2 * (milElementCount(outputs[0]!.type.dims) ?? 0),
      0,
    );
    expect(bytes).toBeGreaterThan(2_000_000);
    expect(program.functions[0]!.operations.filter(({ type }) => type === 'linear')).toHaveLength(
      recognize(source).linears.length,
    );
  });
});

describe('what Core ML cannot hold', () => {
  it.each(['uint8', 'uint64', 'string', 'complex64', 'float64'] as const)(
    'is named: elements of %s, which int32 or fp16 would silently change',
    (type) => {
      const through = model({
        nodes: [node('Identity', ['x'], 'y')],
        inputs: [value('x', type, [2, 3])],
        outputs: [value('y', type, [2, 3])],
      });
      expect(() => lowerToCoreml(through, { sizes: {} })).toThrow(
        `target coreml: x has elements that Core ML does not pass (got ${type}, expected float16`,
      );
      const inside = model({
        nodes: [
          node('Cast', ['x'], 'c', { to: type === 'uint64' ? 13n : 2n }),
          node('Cast', ['c'], 'y', { to: 1n }),
        ],
        inputs: [value('x', 'float32', [2, 3])],
        outputs: [value('y', 'float32', [2, 3])],
      });
      expect(() => lowerToCoreml(inside, { sizes: {} })).toThrow(/Cast.* has elements of uint/);
    },
  );

  it('is named: sizes that do not go together, of the model or as they were asked for', () => {
    const source = model({
      nodes: [node('Add', ['x', 'mask'], 'y')],
      inputs: [value('x', 'float32', [1, 'tokens']), value('mask', 'float32', [1, 'total'])],
      outputs: [value('y', 'float32', [1, 'tokens'])],
    });
    const lower = () => lowerToCoreml(source, { sizes: { tokens: 7, total: 9 } });
    expect(lower).toThrow(UnsupportedError);
    expect(lower).toThrow(
      /Add.* has sizes that do not fit \(add: shapes \[1,7\] and \[1,9\] do not/,
    );
  });
});
