import { describe, expect, it } from 'vitest';
import type { FeedInput } from '../../src/calibrate/feed-input.ts';
import { makeFeeds } from '../../src/calibrate/make-feeds.ts';
import type { Sample } from '../../src/calibrate/sample.ts';
import { UnsupportedError } from '../../src/errors.ts';
import type { KnownDataType } from '../../src/ir/data-type.ts';
import type { Dim } from '../../src/ir/model.ts';
import type { TensorValue } from '../../src/values/tensor-value.ts';

const TEXT: Sample = {
  index: 0,
  values: new Map([
    ['input_ids', { dataType: 'int64', dims: [3], data: BigInt64Array.of(5n, 6n, 7n) }],
  ]),
};

function input(name: string, dataType: KnownDataType, dims: readonly Dim[]): FeedInput {
  return { name, dataType, dims };
}

const IDS = input('input_ids', 'int64', ['batch', 'sequence']);

function sampleOf(name: string, value: TensorValue): Sample {
  return { index: 0, values: new Map([[name, value]]) };
}

/** What is made for one input beside `input_ids`. */
function made(other: FeedInput, hints = {}): TensorValue {
  return makeFeeds([IDS, other], TEXT, hints).get(other.name)!;
}

describe('feeds of a decoder', () => {
  it('add the batch axis and cast ids to the declared integers', () => {
    expect(makeFeeds([IDS], TEXT).get('input_ids')).toEqual({
      dataType: 'int64',
      dims: [1, 3],
      data: BigInt64Array.of(5n, 6n, 7n),
    });
    const narrow = makeFeeds([input('tokens', 'int32', [1, 'n'])], TEXT).get('tokens');
    expect(narrow).toEqual({ dataType: 'int32', dims: [1, 3], data: Int32Array.of(5, 6, 7) });
  });

  it('add a mask of ones over the tokens, in any declared type', () => {
    expect(made(input('attention_mask', 'int64', ['batch', 'past + sequence']))).toEqual({
      dataType: 'int64',
      dims: [1, 3],
      data: BigInt64Array.of(1n, 1n, 1n),
    });
    expect(made(input('attention_mask', 'float16', ['b', 's'])).data).toEqual(
      Uint16Array.of(0x3c00, 0x3c00, 0x3c00),
    );
    expect(made(input('attention_mask', 'bool', ['b', 's'])).data).toEqual(Uint8Array.of(1, 1, 1));
  });

  it('add positions, also three of them per token', () => {
    expect(made(input('position_ids', 'int64', ['b', 's']))).toEqual({
      dataType: 'int64',
      dims: [1, 3],
      data: BigInt64Array.of(0n, 1n, 2n),
    });
    expect(made(input('cache_position', 'int64', ['s'])).dims).toEqual([3]);
    const three = made(input('position_ids', 'int32', [3, 'b', 's']));
    expect(three.dims).toEqual([3, 1, 3]);
    expect(three.data).toEqual(Int32Array.of(0, 1, 2, 0, 1, 2, 0, 1, 2));
  });

  it('add empty caches of the declared heads, in every layout', () => {
    const past = 'past_key_values.0.key';
    expect(made(input(past, 'float16', ['batch_size', 2, 'past_sequence_length', 32]))).toEqual({
      dataType: 'float16',
      dims: [1, 2, 0, 32],
      data: new Uint16Array(0),
    });
    // ChatGLM's first export: [past, batch, heads, size].
    expect(made(input('past_key_values', 'float32', ['past', 'batch', 2, 32])).dims).toEqual([
      0, 1, 2, 32,
    ]);
    expect(made(input('past_0', 'float32', [1, 2, undefined, 32])).dims).toEqual([1, 2, 0, 32]);
    expect(
      made(input(past, 'float32', ['batch', 'num_heads', 'past', 'kv_cache_dim']), {
        kvHeads: 4,
        headDim: 8,
      }).dims,
    ).toEqual([1, 4, 0, 8]);
    expect(() => made(input(past, 'float32', ['batch', 'heads', 'past', 'kv_cache_dim']))).toThrow(
      /past_key_values\.0\.key: the sizes of its empty cache are not declared/,
    );
    expect(() => made(input(past, 'float32', [1, 2, 128, 32]))).toThrow(/fixed length/);
  });

  it('add the switches of merged exports', () => {
    expect(made(input('use_cache_branch', 'bool', [1]))).toEqual({
      dataType: 'bool',
      dims: [1],
      data: Uint8Array.of(0),
    });
    expect(made(input('num_logits_to_keep', 'int64', []))).toEqual({
      dataType: 'int64',
      dims: [],
      data: BigInt64Array.of(0n),
    });
    expect(made(input('token_type_ids', 'int64', ['b', 's'])).data).toEqual(new BigInt64Array(3));
  });

  it('run the branches of a merged export by turns, and the one with a cache when there is one', () => {
    const past = input('past_key_values.0.key', 'float32', ['b', 2, 'past', 4]);
    const inputs = [IDS, past, input('use_cache_branch', 'bool', [1])];
    const cache: TensorValue = {
      dataType: 'float32',
      dims: [1, 2, 3, 4],
      data: new Float32Array(24),
    };
    const chosen = (index: number, others: readonly (readonly [string, TensorValue])[] = []) => {
      const values = new Map<string, TensorValue>([...TEXT.values, ...others]);
      return makeFeeds(inputs, { index, values }).get('use_cache_branch')?.data[0];
    };
    expect([0, 1, 2, 3].map((index) => chosen(index))).toEqual([0, 1, 0, 1]);
    expect(chosen(0, [[past.name, cache]])).toBe(1);
  });

  it('refuse an input that no rule makes, naming it', () => {
    expect(() => made(input('encoder_hidden_states', 'float16', ['b', 's', 64]))).toThrow(
      UnsupportedError,
    );
    expect(() => made(input('encoder_hidden_states', 'float16', ['b', 's', 64]))).toThrow(
      /^input encoder_hidden_states: nothing in the data set feeds it \(got input_ids/,
    );
    expect(() => made(input('attention_mask', 'float32', ['b', 1, 's', 's']))).toThrow(/rank 4/);
  });

  it('refuse a length that the model fixes otherwise, with the option that helps', () => {
    expect(() => makeFeeds([input('input_ids', 'int64', [1, 128])], TEXT)).toThrow(
      /got \[1, 3\], expected \[1, 128\]\)\. Use --sequence-length 128\./,
    );
  });
});

describe('feeds of other models', () => {
  const pixels: TensorValue = {
    dataType: 'float32',
    dims: [1, 2, 2],
    data: Float32Array.of(0.1, 1, -2, 65504),
  };

  it('cast pixels to float16, rounding to nearest even', () => {
    const [fed] = makeFeeds([input('pixel_values', 'float16', ['b', 1, 2, 2])], {
      ...sampleOf('pixel_values', pixels),
      label: 3,
    }).values();
    expect(fed?.dims).toEqual([1, 1, 2, 2]);
    // 0.1 lies between 0x2e66 = 0.09998 and 0x2e67 = 0.10004.
    expect(fed?.data).toEqual(Uint16Array.of(0x2e66, 0x3c00, 0xc000, 0x7bff));
  });

  it('take an array with its batch axis as it is', () => {
    const whole = { ...pixels, dims: [1, 1, 2, 2] };
    const inputs = [input('x', 'float32', ['b', 1, 2, 2])];
    expect(makeFeeds(inputs, sampleOf('x', whole)).get('x')).toEqual(whole);
  });

  it('feed the only open input from the only array, whatever their names', () => {
    const inputs = [input('data', 'float32', ['b', 1, 2, 2])];
    expect(makeFeeds(inputs, sampleOf('pixel_values', pixels)).get('data')?.dims).toEqual([
      1, 1, 2, 2,
    ]);
  });

  it('refuse values that an integer input cannot hold', () => {
    const inputs = [input('x', 'int64', ['b', 1, 2, 2])];
    expect(() => makeFeeds(inputs, sampleOf('x', pixels))).toThrow(
      /input x: 0\.1.* is not a value of int64/,
    );
  });
});
