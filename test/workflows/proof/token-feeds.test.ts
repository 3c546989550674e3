import { describe, expect, it } from 'vitest';
import type { FeedInput } from '../../../src/calibrate/feed-input.ts';
import type { KnownDataType } from '../../../src/ir/data-type.ts';
import type { Dim } from '../../../src/ir/model.ts';
import type { Feeds, TensorValue } from '../../../src/values/tensor-value.ts';
import { cutTokens, nextToken, tokenRows } from '../../../src/workflows/proof/token-feeds.ts';

function input(name: string, dims: readonly Dim[], dataType: KnownDataType = 'int64'): FeedInput {
  return { name, dataType, dims };
}

function ints(dims: readonly number[], values: readonly number[]): TensorValue {
  return { dataType: 'int64', dims, data: BigInt64Array.from(values, BigInt) };
}

function numbers(value: TensorValue | undefined): readonly number[] {
  return Array.from(value?.data ?? [], Number);
}

function shapes(feeds: Feeds): Readonly<Record<string, readonly number[]>> {
  return Object.fromEntries([...feeds].map(([name, { dims }]) => [name, dims]));
}

const IDS = input('input_ids', ['batch', 'tokens']);
const MASK = input('attention_mask', ['batch', 'past + tokens']);

describe('cutTokens', () => {
  it('cuts every array of a row along its token axis, wherever that lies', () => {
    const inputs = [
      IDS,
      MASK,
      input('token_type_ids', ['batch', 'tokens']),
      input('position_ids', [3, 'batch', 'tokens']),
      input('speaker', ['batch', 'width', 'tokens'], 'float32'),
      input('past_key_values.0.key', ['batch', 2, 'past', 4], 'float32'),
    ];
    const feeds: Feeds = new Map([
      ['input_ids', ints([1, 4], [5, 6, 7, 8])],
      ['attention_mask', ints([1, 4], [1, 1, 0, 1])],
      ['token_type_ids', ints([1, 4], [0, 0, 1, 1])],
      ['position_ids', ints([3, 1, 4], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])],
      [
        'speaker',
        { dataType: 'float32', dims: [1, 2, 4], data: Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8) },
      ],
      [
        'past_key_values.0.key',
        { dataType: 'float32', dims: [1, 2, 0, 4], data: new Float32Array(0) },
      ],
    ]);
    const cut = cutTokens(inputs, feeds, 3);
    expect(shapes(cut)).toEqual({
      input_ids: [1, 3],
      attention_mask: [1, 3],
      token_type_ids: [1, 3],
      position_ids: [3, 1, 3],
      speaker: [1, 2, 3],
      'past_key_values.0.key': [1, 2, 0, 4],
    });
    expect(numbers(cut.get('attention_mask'))).toEqual([1, 1, 0]);
    expect(numbers(cut.get('position_ids'))).toEqual([0, 1, 2, 4, 5, 6, 8, 9, 10]);
    expect(numbers(cut.get('speaker'))).toEqual([1, 2, 3, 5, 6, 7]);
  });

  it('leaves a batch, a fixed length, a past and an array that cannot be told as they are', () => {
    const batch: Feeds = new Map([['input_ids', ints([2, 2], [1, 2, 3, 4])]]);
    expect(cutTokens([IDS], batch, 1)).toBe(batch);
    const row: Feeds = new Map([['input_ids', ints([1, 3], [1, 2, 3])]]);
    expect(cutTokens([input('input_ids', ['batch', 3])], row, 1)).toBe(row);
    const odd: Feeds = new Map([...row, ['bias', ints([3], [1, 2, 3])]]);
    expect(cutTokens([IDS, input('bias', ['unknown'])], odd, 1)).toBe(odd);
    const past = input('past.0', ['batch', 'past', 1]);
    const ongoing: Feeds = new Map([...row, ['past.0', ints([1, 2, 1], [1, 2])]]);
    expect(cutTokens([IDS, past], ongoing, 1)).toBe(ongoing);
    expect(tokenRows([IDS, past], ongoing)).toMatchObject({ batch: 1, length: 3, past: 2 });
  });
});

describe('nextToken', () => {
  const spellings = [
    ['past_key_values.0.key', 'present.0.key'],
    ['past_key_values.0.key', 'present_key_values.0.key'],
    ['past_0', 'present_0'],
    ['past.0', 'present.0'],
    ['past_key_self_0', 'present_key_self_0'],
    ['past_key_values', 'presents'],
  ] as const;

  it.each(spellings)('goes on with %s from %s', (past, present) => {
    const inputs = [
      input('tokens', ['batch', 'n']),
      MASK,
      input('position_ids', ['batch', 'n']),
      input('use_cache_branch', [1], 'bool'),
      input(past, ['batch', 'past', 1]),
    ];
    const feeds: Feeds = new Map([
      ['tokens', ints([2, 2], [1, 2, 3, 4])],
      ['attention_mask', ints([2, 2], [1, 1, 0, 1])],
      ['position_ids', ints([2, 2], [0, 1, 0, 1])],
      ['use_cache_branch', { dataType: 'bool', dims: [1], data: Uint8Array.of(0) }],
      [past, ints([2, 0, 1], [])],
    ]);
    const kept = ints([2, 2, 1], [7, 8, 9, 10]);
    const next = nextToken(inputs, feeds, new Map([[present, kept]]));
    expect(numbers(next?.get('tokens'))).toEqual([2, 4]);
    expect(next?.get('tokens')?.dims).toEqual([2, 1]);
    expect(numbers(next?.get('attention_mask'))).toEqual([1, 1, 1, 0, 1, 1]);
    expect(numbers(next?.get('position_ids'))).toEqual([2, 2]);
    expect(numbers(next?.get('use_cache_branch'))).toEqual([1]);
    expect(next?.get(past)).toBe(kept);
    expect(nextToken(inputs, feeds, new Map([['logits', kept]]))).toBeUndefined();
  });

  it('keeps what an encoder left, and moves nothing on without a cache', () => {
    const encoder: FeedInput = { ...input('past_1', ['batch', 'm', 1]), isEncoderCache: true };
    const row: Feeds = new Map([
      ['input_ids', ints([1, 2], [1, 2])],
      ['past_0', ints([1, 0, 1], [])],
      ['past_1', ints([1, 2, 1], [5, 6])],
    ]);
    const inputs = [IDS, input('past_0', ['batch', 'past', 1]), encoder];
    const next = nextToken(inputs, row, new Map([['present_0', ints([1, 2, 1], [1, 2])]]));
    expect(next?.get('past_1')).toBe(row.get('past_1'));
    expect(nextToken([IDS], row, new Map())).toBeUndefined();
  });
});
