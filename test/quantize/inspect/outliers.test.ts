import { Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { tapValues } from '../../../src/calibrate/tap-values.ts';
import { findOutliers, makePeakModel } from '../../../src/quantize/inspect/outliers.ts';
import { model, node, value } from '../../kit/models.ts';
import { runModel } from '../../kit/run-model.ts';

describe('makePeakModel', () => {
  it('gives the largest magnitude of each row and its channel, as onnxruntime runs it.', async () => {
    const source = model({
      nodes: [node('Neg', ['x'], 'y')],
      inputs: [value('x', 'float32', ['n', 's', 3])],
      outputs: [value('y', 'float32', ['n', 's', 3])],
    });
    const { model: peaking, peaks } = makePeakModel(source, ['y', 'y']);
    const { magnitude, channel } = peaks.get('y')!;
    const x = Float32Array.of(1, -5, 2, 0, 0, 0, 3, 3, -2);
    const { outputs } = await runModel(tapValues(peaking, [magnitude, channel]), [
      { x: new OrtTensor('float32', x, [1, 3, 3]) },
    ]);
    expect([...outputs.get(magnitude)!]).toEqual([5, 0, 3]);
    // Of equal magnitudes the first, as ArgMax has it.
    expect([...outputs.get(channel)!].map(Number)).toEqual([1, 0, 0]);
  });
});

describe('findOutliers', () => {
  const rows = (magnitudes: readonly number[], channels: readonly number[]) => ({
    magnitudes: Float32Array.from(magnitudes),
    channels,
  });

  it('tells the largest apart from what other positions reach, in every sample.', () => {
    // Both samples have a huge first token; elsewhere nothing passes 4.
    const found = findOutliers([rows([90, 2, 4], [7, 1, 2]), rows([100, 3, 1], [7, 0, 5])]);
    // Sorted 1 2 3 4 90 100: the median is 3.5.
    expect(found).toEqual({ largest: 100, token: 0, channel: 7, otherTokens: 4, typical: 3.5 });
  });

  it('takes the first of equals, leaves out what is not finite, and finds nothing in no rows.', () => {
    const found = findOutliers([rows([2, Number.NaN, 2, Number.POSITIVE_INFINITY], [3, 1, 4, 1])]);
    expect(found).toEqual({ largest: 2, token: 0, channel: 3, otherTokens: 2, typical: 2 });
    expect(findOutliers([rows([Number.NaN], [0])])).toBeUndefined();
    expect(findOutliers([])).toBeUndefined();
  });

  it('has nothing beyond a single row.', () => {
    expect(findOutliers([rows([6], [2])])).toMatchObject({ token: 0, otherTokens: 0, typical: 6 });
  });
});
