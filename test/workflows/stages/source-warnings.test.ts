import { describe, expect, it } from 'vitest';
import type { ModelOnDisk } from '../../../src/artifact/model-on-disk.ts';
import type { Model } from '../../../src/ir/model.ts';
import { inlineTensor } from '../../../src/ir/tensor.ts';
import { alreadyQuantized, whyLarger } from '../../../src/workflows/stages/source-warnings.ts';
import { floats, model, node, noise, value } from '../../kit/models.ts';

/** A linear layer of 4 kB before an LSTM of 12 kB. */
function recurrent(): Model {
  return model({
    nodes: [
      node('MatMul', ['x', 'w'], 'a'),
      node('LSTM', ['a', 'gates', 'recurrent'], 'b'),
      node('Relu', ['b'], 'y'),
    ],
    initializers: [
      floats('w', [32, 32], noise(1, 1024)),
      floats('gates', [1, 64, 32], noise(2, 2048)),
      floats('recurrent', [1, 64, 16], noise(3, 1024)),
    ],
    inputs: [value('x', 'float32', ['n', 's', 32])],
    outputs: [value('y', 'float32', ['n', 1, 's', 16])],
  });
}

function onDisk(source: Model, byteLength: number): ModelOnDisk {
  const artifact = { kind: 'onnx', folder: '.', entry: 'model.onnx' } as const;
  const files = [{ file: 'model.onnx', byteLength }];
  const prepared = { model: source, written: source, isWidened: false, notes: [] };
  return { ...artifact, path: 'model.onnx', ...prepared, files, sha256: async () => '' };
}

describe('whyLarger', () => {
  const source = recurrent();
  const narrow = model({
    ...source.graph,
    initializers: [...source.graph.initializers.values()].map((tensor) => ({
      ...tensor,
      dataType: 'float16' as const,
    })),
  });

  it('says nothing of artifacts that are smaller, or as large', () => {
    expect(whyLarger(onDisk(source, 17_000), onDisk(source, 12_000))).toBeUndefined();
    expect(whyLarger(onDisk(source, 17_000), onDisk(source, 17_000))).toBeUndefined();
  });

  it('says what an artifact grew by: floats that were widened, or nodes', () => {
    expect(whyLarger(onDisk(narrow, 9000), onDisk(source, 18_000))).toBe(
      'The artifact is larger than its source (9.00 kB -> 18.0 kB): floats that are not quantized, and ' +
        'scales, take 16.4 kB more in float32.',
    );
    expect(whyLarger(onDisk(source, 17_000), onDisk(source, 18_000))).toBe(
      'The artifact is larger than its source (17.0 kB -> 18.0 kB): the nodes that quantizing adds take ' +
        'more than the integers save.',
    );
  });
});

describe('alreadyQuantized', () => {
  it('counts the layers that are integers by their form', () => {
    expect(alreadyQuantized(recurrent())).toBeUndefined();
    const weight = inlineTensor('w', 'int8', [32, 32], new Uint8Array(1024));
    const mixed = {
      ...recurrent(),
      graph: {
        ...recurrent().graph,
        nodes: [node('MatMulInteger', ['x', 'w'], 'y')],
        initializers: new Map([['w', weight]]),
      },
    };
    expect(alreadyQuantized(mixed)).toBe(
      'Already quantized, and left as they are: 1 MatMulInteger.',
    );
  });
});
