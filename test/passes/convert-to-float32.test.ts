import { describe, expect, it } from 'vitest';
import { validate } from '../../src/ir/validate.ts';
import { convertToFloat32 } from '../../src/passes/convert-to-float32.ts';
import { openModel } from '../../src/storage/model-file.ts';
import { makeFeeds, runOnce } from '../kit/run-once.ts';
import { GLM_9B, makeGlmDecoder } from '../models/glm-decoder.ts';
import { rampSource } from '../models/ramp-source.ts';

const context = { decline: () => {} };
const SIZES = {
  batch_size: 1,
  batch: 1,
  num_channels: 1,
  height: 28,
  width: 28,
  past_sequence_length: 3,
  'past_sequence_length + sequence_length': 5,
  total_sequence_length: 5,
};

describe('convertToFloat32', () => {
  it.each([
    'glm-nano/dynamo-opset18',
    'glm-nano/dynamo-opset23',
    'glm-nano/genai',
    'glm-nano/optimum',
    'glm-nano/torchscript',
    'vit-fashion/dynamo-opset18',
    'vit-fashion/optimum',
    'vit-fashion/torchscript-opset14',
  ])('gives %s the outputs of the original, but for float16 rounding', async (name) => {
    const model = await openModel(`fixtures/${name}/model.onnx`);
    const twin = convertToFloat32.run(model, context);
    expect(validate(twin)).toEqual([]);
    expect(convertToFloat32.run(twin, context)).toBe(twin);
    const types = [...twin.graph.inputs, ...twin.graph.outputs].map(({ type }) => type);
    expect(types.some((type) => type?.kind === 'tensor' && type.dataType === 'float16')).toBe(
      false,
    );
    const past = model.graph.inputs.some((input) => input.name.startsWith('past_'));
    const feeds = new Map(
      makeFeeds(model, SIZES, (input, index) => {
        if (input === 'input_ids') return 5 + index;
        if (input === 'attention_mask') return 1;
        return input === 'position_ids' ? 3 + index : ((index * 7) % 11) / 8 - 0.5;
      }),
    );
    if (past) feeds.set('attention_mask', { dims: [1, 5], values: [1, 1, 1, 1, 1] });
    const expected = await runOnce(model, feeds);
    const actual = await runOnce(twin, feeds);
    for (const [output, { values }] of expected) {
      const scale = Math.max(...values.map(Math.abs));
      const got = actual.get(output)?.values ?? [];
      const worst = Math.max(
        ...values.map((value, index) => Math.abs(value - (got[index] ?? NaN))),
      );
      // Float16 carries 11 bits; 6 layers of rounding cost about three of them.
      expect(worst / scale, output).toBeLessThan(0.004);
    }
  });

  it('keeps the bytes of large weights: the twin adds Casts, not weights', async () => {
    const model = await openModel('fixtures/glm-nano/optimum/model.onnx');
    const twin = convertToFloat32.run(model, context);
    const large = [...model.graph.initializers.values()].filter(
      ({ dims, source }) => dims.length > 1 && source.byteLength > 4096,
    );
    expect(large.length).toBeGreaterThan(36);
    for (const tensor of large) expect(twin.graph.initializers.get(tensor.name)).toBe(tensor);
  });

  it('converts 9 billion parameters without reading one of them', () => {
    const refuse = (): never => {
      throw new Error('a weight was read');
    };
    const model = makeGlmDecoder(GLM_9B, (_, byteLength) => ({ byteLength, read: refuse }));
    const twin = convertToFloat32.run(model, context);
    expect(twin.graph.nodes.filter(({ name }) => name.endsWith('_to_float32'))).toHaveLength(
      6 * 40 + 2,
    );
  });

  it('makes a float32 twin of a small generated decoder that runs', async () => {
    const small = {
      layers: 2,
      hidden: 32,
      heads: 4,
      kvHeads: 2,
      headDim: 8,
      ffn: 48,
      vocabulary: 64,
    };
    const model = makeGlmDecoder(small, rampSource);
    const feeds = makeFeeds(model, SIZES, (name, index) =>
      name === 'attention_mask' ? 1 : (index % 7) / 8,
    );
    const [expected, actual] = [
      await runOnce(model, feeds),
      await runOnce(convertToFloat32.run(model, context), feeds),
    ];
    const [a, b] = [expected.get('logits')?.values ?? [], actual.get('logits')?.values ?? []];
    const scale = Math.max(...a.map(Math.abs));
    expect(scale).toBeGreaterThan(0);
    expect(Math.max(...a.map((value, index) => Math.abs(value - (b[index] ?? NaN))))).toBeLessThan(
      0.01 * scale,
    );
  });
});
