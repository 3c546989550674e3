import { describe, expect, it } from 'vitest';
import { feedInputs } from '../../src/calibrate/feed-input.ts';
import { asFed, makeFeeds } from '../../src/calibrate/make-feeds.ts';
import type { Sample } from '../../src/calibrate/sample.ts';
import { UnsupportedError, UsageError } from '../../src/errors.ts';
import type { Dim, Model, Node, ValueInfo } from '../../src/ir/model.ts';
import type { TensorValue } from '../../src/values/tensor-value.ts';
import { floats, model, node, value } from '../kit/models.ts';

function ids(...tokens: readonly number[]): TensorValue {
  return { dataType: 'int64', dims: [tokens.length], data: BigInt64Array.from(tokens, BigInt) };
}

function sampleOf(values: Readonly<Record<string, TensorValue>>): Sample {
  return { index: 2, values: new Map(Object.entries(values)) };
}

const IDS = value('input_ids', 'int64', ['batch', 'tokens']);
const TABLE = floats('wte', [6, 4], new Float32Array(24));

/** Embeds ids in a table of 6 rows; `nodes` may go on from `hidden` [batch, tokens, 4]. */
function decoder(inputs: readonly ValueInfo[], nodes: readonly Node[], outputs: string[]): Model {
  return model({
    nodes: [node('Gather', ['wte', 'input_ids'], 'hidden'), ...nodes],
    initializers: [TABLE],
    inputs: [IDS, ...inputs],
    outputs: ['hidden', ...outputs].map((name) => value(name, 'float32', [])),
  });
}

function cache(name: string, past: Dim = 'past'): ValueInfo {
  return value(name, 'float32', ['batch', 2, past, 2]);
}

const KEYS = [...Array(4).keys()].map((at) => `past_${at}`);

/** T5's unnamed list: past_0 and past_1 grow, past_2 and past_3 are the encoder's. */
function unnamedCaches(): Model {
  const grow = (name: string, present: string): Node =>
    node('Concat', [name, 'heads'], present, { axis: 2n });
  const turned = node('Transpose', ['past_2'], 'keys', { perm: [0n, 1n, 3n, 2n] });
  return decoder(
    KEYS.map((name) => cache(name)),
    [
      grow('past_0', 'present_0'),
      grow('past_1', 'present_1'),
      turned,
      node('MatMul', ['heads', 'keys'], 'scores'),
      node('MatMul', ['scores', 'past_3'], 'read'),
      node('Identity', ['past_2'], 'present_2'),
    ],
    ['present_0', 'present_1', 'present_2', 'read'],
  );
}

describe('caches', () => {
  it('that an encoder fills are never made empty, whatever they are called', () => {
    const inputs = feedInputs(unnamedCaches().graph);
    const marked = inputs.filter(({ isEncoderCache }) => isEncoderCache).map(({ name }) => name);
    expect(marked).toEqual(['past_2', 'past_3']);
    const feeds = () => makeFeeds(inputs, sampleOf({ input_ids: ids(1) }));
    expect(feeds).toThrow(UnsupportedError);
    expect(feeds).toThrow(/^input past_2: nothing in the data set feeds it.*array named past_2/);
  });

  it.each(['past_key_values.0.encoder.key', 'past_key_cross_0', 'past_key_values.3.cross.value'])(
    'called %s are an encoder’s even where a subgraph reads them',
    (name) => {
      const inputs = feedInputs(decoder([cache(name)], [], []).graph);
      expect(() => makeFeeds(inputs, sampleOf({ input_ids: ids(1) }))).toThrow(
        `input ${name}: nothing in the data set feeds it`,
      );
    },
  );

  it('of both branches stay empty while use_cache_branch is false', () => {
    const name = 'past_key_values.0.encoder.key';
    const choice = value('use_cache_branch', 'bool', [1]);
    const inputs = feedInputs(decoder([cache(name), choice], [], []).graph);
    expect(makeFeeds(inputs, sampleOf({ input_ids: ids(1) })).get(name)?.dims).toEqual([
      1, 2, 0, 2,
    ]);
    const isTrue: TensorValue = { dataType: 'bool', dims: [1], data: Uint8Array.of(1) };
    const sample = sampleOf({ input_ids: ids(1), use_cache_branch: isTrue });
    expect(() => makeFeeds(inputs, sample)).toThrow(UnsupportedError);
  });

  it('that attention operators append to are made empty', () => {
    const attention: Node = {
      ...node('GroupQueryAttention', ['q', 'k', 'v', 'past_key_values.0.key'], 'y'),
      domain: 'com.microsoft',
    };
    const inputs = feedInputs(decoder([cache('past_key_values.0.key')], [attention], ['y']).graph);
    const feeds = makeFeeds(inputs, sampleOf({ input_ids: ids(1, 2) }));
    expect(feeds.get('past_key_values.0.key')?.dims).toEqual([1, 2, 0, 2]);
  });

  it('that a data set brings lengthen the mask and move the positions', () => {
    const past: TensorValue = { dataType: 'float32', dims: [2, 3, 2], data: new Float32Array(12) };
    const inputs = feedInputs(
      decoder(
        [
          value('attention_mask', 'int64', ['batch', 'past + tokens']),
          value('position_ids', 'int64', ['batch', 'tokens']),
          cache('past_key_values.0.key'),
          cache('past_key_values.0.encoder.key'),
          value('encoder_attention_mask', 'int64', ['batch', 'source']),
        ],
        [],
        [],
      ).graph,
    );
    const feeds = makeFeeds(
      inputs,
      sampleOf({
        input_ids: ids(1, 2),
        'past_key_values.0.key': past,
        'past_key_values.0.encoder.key': { ...past, dims: [2, 5, 2], data: new Float32Array(20) },
      }),
    );
    expect(feeds.get('attention_mask')?.dims).toEqual([1, 5]);
    expect(feeds.get('position_ids')?.data).toEqual(BigInt64Array.of(3n, 4n));
    expect(feeds.get('encoder_attention_mask')?.dims).toEqual([1, 5]);
  });
});

describe('ids', () => {
  it('beyond the table that they index are refused with the token, the sample and the rows', () => {
    const inputs = feedInputs(decoder([], [], []).graph);
    expect(inputs[0]?.table).toEqual({ name: 'wte', rows: 6 });
    const feeds = (token: number) => makeFeeds(inputs, sampleOf({ input_ids: ids(0, token) }));
    // ONNX's Gather counts negative indices from the end.
    for (const token of [5, -6]) expect(feeds(token).get('input_ids')?.dims).toEqual([1, 2]);
    for (const token of [6, -7]) expect(() => feeds(token)).toThrow(UsageError);
    expect(() => feeds(6)).toThrow(
      'sample 2: input_ids holds token 6, for which wte has no row (got 6, expected less than 6). Use the tokenizer that belongs to the model.',
    );
  });

  it('are measured against a table behind Cast and Transpose, as a tied head stores it', () => {
    const tied = model({
      nodes: [
        node('Transpose', ['head'], 'turned', { perm: [1n, 0n] }),
        node('Cast', ['turned'], 'table', { to: 1n }),
        node('Cast', ['input_ids'], 'narrow', { to: 6n }),
        node('Gather', ['table', 'narrow'], 'hidden'),
      ],
      initializers: [floats('head', [4, 9], new Float32Array(36))],
      inputs: [IDS],
      outputs: [value('hidden', 'float32', ['batch', 'tokens', 4])],
    });
    expect(feedInputs(tied.graph)[0]?.table).toEqual({ name: 'head', rows: 9 });
  });

  it('are repeated where the model fixes a batch, with masks and types that fit', () => {
    const inputs = feedInputs(
      model({
        nodes: [node('Gather', ['wte', 'input_ids'], 'hidden')],
        initializers: [TABLE],
        inputs: ['input_ids', 'attention_mask', 'token_type_ids'].map((name) =>
          value(name, 'int64', [3, 2]),
        ),
        outputs: [value('hidden', 'float32', [3, 2, 4])],
      }).graph,
    );
    const feeds = makeFeeds(inputs, sampleOf({ input_ids: ids(4, 5) }));
    expect(feeds.get('input_ids')).toEqual({
      dataType: 'int64',
      dims: [3, 2],
      data: BigInt64Array.of(4n, 5n, 4n, 5n, 4n, 5n),
    });
    expect(feeds.get('attention_mask')?.dims).toEqual([3, 2]);
    const renamed = new Map([['tokens', feeds.get('input_ids')!]]);
    for (const fed of [feeds, renamed]) {
      const { values } = asFed(sampleOf({ input_ids: ids(4, 5) }), fed);
      expect(values.get('input_ids')).toBe(feeds.get('input_ids'));
    }
    expect(() => makeFeeds(inputs, sampleOf({ input_ids: ids(4, 5, 1) }))).toThrow(
      /got \[1, 3\], expected \[3, 2\]\)\. Use --sequence-length 2\./,
    );
  });

  it('of a whole batch get masks, positions and caches of its size', () => {
    const inputs = feedInputs(
      decoder(
        [value('attention_mask', 'int64', ['batch', 'tokens']), cache('past_key_values.0.key')],
        [],
        [],
      ).graph,
    );
    const batch: TensorValue = { ...ids(0, 1, 2, 3, 4, 5), dims: [2, 3] };
    const feeds = makeFeeds(inputs, sampleOf({ input_ids: batch }));
    expect(feeds.get('attention_mask')?.dims).toEqual([2, 3]);
    expect(feeds.get('past_key_values.0.key')?.dims).toEqual([2, 2, 0, 2]);
  });
});

it('arrays of unknown meaning are never repeated to fill a fixed batch', () => {
  const inputs = [{ name: 'boxes', dataType: 'float32', dims: [4, 2] }] as const;
  const boxes: TensorValue = { dataType: 'float32', dims: [2], data: Float32Array.of(1, 2) };
  expect(() => makeFeeds(inputs, sampleOf({ boxes }))).toThrow(
    'input boxes: the sample does not fit (got [1, 2], expected [4, 2]). The model takes 4 at once: store rows of that shape, or export it with an open batch.',
  );
});
