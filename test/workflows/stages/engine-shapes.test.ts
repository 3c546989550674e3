import { describe, expect, it } from 'vitest';
import { UsageError } from '../../../src/errors.ts';
import type { Dim, Model } from '../../../src/ir/model.ts';
import {
  engineShapes,
  needsSamples,
  parseShapes,
} from '../../../src/workflows/stages/engine-shapes.ts';

function modelWith(inputs: Readonly<Record<string, readonly Dim[]>>): Model {
  return {
    irVersion: 10,
    opsetImports: [{ domain: '', version: 19 }],
    functions: [],
    storage: { external: false, files: [] },
    graph: {
      name: 'g',
      nodes: [],
      inputs: Object.entries(inputs).map(([name, shape]) => ({
        name,
        type: { kind: 'tensor', dataType: 'int64', shape },
      })),
      outputs: [],
      initializers: new Map(),
      sparseInitializers: [],
      valueInfo: new Map(),
    },
  };
}

describe('parseShapes', () => {
  it('reads smallest, usual and largest dims, or one shape for all three', () => {
    const shapes = parseShapes(
      ['input_ids:1x1..1x128..4x512', 'pixels:1x3x224x224'],
      modelWith({ input_ids: ['b', 's'], pixels: ['b', 3, 'height', 'width'] }),
    );
    expect(shapes.get('input_ids')).toEqual({ min: [1, 1], opt: [1, 128], max: [4, 512] });
    expect(shapes.get('pixels')).toEqual({
      min: [1, 3, 224, 224],
      opt: [1, 3, 224, 224],
      max: [1, 3, 224, 224],
    });
  });

  it.each(['input_ids', 'input_ids:', 'x:1x2..3x4', 'x:1xa', ':1x1'])('refuses %j', (text) => {
    expect(() => parseShapes([text], modelWith({ x: ['b', 's'] }))).toThrow(UsageError);
  });

  it.each([
    ['y:1x2', /no input of this name.*expected one of x\)/],
    ['x:1x2x3', /does not fit the input.*expected dims of \?x3/],
    ['x:1x4', /does not fit the input/],
    ['x:2x3..1x3..4x3', /out of order/],
  ])('refuses %s, which the model contradicts', (text, message) => {
    const model = modelWith({ x: [undefined, 3] });
    expect(() => parseShapes([text], model)).toThrow(UsageError);
    expect(() => parseShapes([text], model)).toThrow(message);
  });
});

describe('engineShapes', () => {
  it('derives past, mask and sequence of a decoder together', () => {
    const shapes = engineShapes(
      modelWith({
        input_ids: ['batch_size', 'sequence_length'],
        attention_mask: ['batch_size', 'past_sequence_length + sequence_length'],
        'past_key_values.0.key': ['batch_size', 2, 'past_sequence_length', 32],
      }),
      new Map(),
    );
    expect(shapes.get('input_ids')).toEqual({ min: [1, 1], opt: [1, 128], max: [1, 512] });
    expect(shapes.get('attention_mask')).toEqual({ min: [1, 1], opt: [1, 128], max: [1, 512] });
    expect(shapes.get('past_key_values.0.key')).toEqual({
      min: [1, 2, 0, 32],
      opt: [1, 2, 0, 32],
      max: [1, 2, 511, 32],
    });
  });

  it('leaves a shape that was given, and an axis of unknown meaning to the person', () => {
    const given = parseShapes(['input_ids:1x8'], modelWith({ input_ids: ['batch', 'seq'] }));
    const shapes = engineShapes(
      modelWith({ input_ids: ['batch', 'seq'], odd: [undefined, 3] }),
      given,
    );
    expect(shapes.get('input_ids')).toBe(given.get('input_ids'));
    expect(shapes.has('odd')).toBe(false);
  });

  const SEEN = new Map([
    ['features', { min: [1, 40], opt: [1, 60], max: [1, 90] }],
    ['input_ids', { min: [1, 40], opt: [1, 60], max: [1, 90] }],
  ]);

  it('takes an unnamed first axis, the batch, from the samples and nothing else', () => {
    const model = modelWith({ features: ['unk__214', 90], input_ids: ['batch', 'seq'] });
    const shapes = engineShapes(model, new Map(), SEEN);
    expect(shapes.get('features')).toEqual({ min: [1, 90], opt: [1, 90], max: [1, 90] });
    expect(shapes.get('input_ids')?.max).toEqual([1, 512]);
    expect(needsSamples(model, new Map())).toBe(true);
  });

  it('takes all sizes from the samples where one that nobody names may depend on another', () => {
    const model = modelWith({ features: ['b', 'p2o.DynamicDimension.0'], input_ids: ['b', 'seq'] });
    const shapes = engineShapes(model, new Map(), SEEN);
    expect(shapes.get('features')).toEqual(SEEN.get('features'));
    expect(shapes.get('input_ids')).toEqual(SEEN.get('input_ids'));
    const given = parseShapes(['features:1x7'], model);
    expect(engineShapes(model, given, SEEN).get('features')).toBe(given.get('features'));
    expect(needsSamples(model, given)).toBe(false);
  });
});
