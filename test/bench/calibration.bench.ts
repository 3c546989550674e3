/**
 * What calibration costs beside the model: observing a million values, and choosing the ranges of
 * 50 tensors (a large model has ten times as many).
 */
import { bench, describe } from 'vitest';
import { RANGE_METHODS } from '../../src/calibrate/ranges/index.ts';
import { emptyStatistics, observe } from '../../src/calibrate/statistics.ts';
import { createRandom } from '../../src/numerics/random.ts';

const random = createRandom(1);
const values = Float32Array.from({ length: 2 ** 20 }, () => 3 * random.normal());
values[7] = 60;
const empty = emptyStatistics();
const byChannel = emptyStatistics(1024);

describe('1,048,576 values', () => {
  bench('observe', () => void observe(empty, values));
  bench('observe with 1,024 channels', () => void observe(byChannel, values));
});

const tensors = Array.from({ length: 50 }, (_, index) => {
  const scaled = values.map((value) => value * (1 + index / 10));
  scaled[3] = 30 + index * 5;
  return observe(empty, scaled);
});

describe('Ranges of 50 tensors', () => {
  for (const { name, choose } of RANGE_METHODS) {
    for (const dataType of ['int8', 'uint8'] as const) {
      const scheme = { dataType, symmetric: dataType === 'int8' };
      bench(
        `${name}, ${dataType}`,
        () => tensors.forEach((tensor) => void choose(tensor, scheme)),
        {
          iterations: 2,
          time: 0,
        },
      );
    }
  }
});
