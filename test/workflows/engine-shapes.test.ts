import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/errors.ts';
import type { Dim, Model } from '../../src/ir/model.ts';
import { engineShapes, parseShapes } from '../../src/workflows/engine-shapes.ts';

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
    const shapes = parseShapes(['input_ids:1x1..1x128..4x512', 'pixels:1x3x224x224']);
    expect(shapes.get('input_ids')).toEqual({ min: [1, 1], opt: [1, 128], max: [4, 512] });
    expect(shapes.get('pixels')).toEqual({
      min: [1, 3, 224, 224],
      opt: [1, 3, 224, 224],
      max: [1, 3, 224, 224],
    });
  });

  it.each(['input_ids', 'input_ids:', 'x:1x2..3x4', 'x:1xa', ':1x1'])('refuses %j', (text) => {
    expect(() => parseShapes([text])).toThrow(UsageError);
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
    const given = parseShapes(['input_ids:1x8']);
    const shapes = engineShapes(
      modelWith({ input_ids: ['batch', 'seq'], odd: [undefined, 3] }),
      given,
    );
    expect(shapes.get('input_ids')).toBe(given.get('input_ids'));
    expect(shapes.has('odd')).toBe(false);
  });
});
