/**
 * What calibration costs beside the model: observing a million values, and choosing the ranges of
 * 50 tensors (a large model has ten times as many).
 */
import { expect, it } from 'vitest';
import { RANGE_METHODS } from '../../src/calibrate/ranges/index.ts';
import { emptyStatistics, observe } from '../../src/calibrate/statistics.ts';
import { createRandom } from '../../src/numerics/random.ts';
import { describeMachine } from './machine.ts';
import { type Timed, timeInTurns } from './time-in-turns.ts';

const random = createRandom(1);
const values = Float32Array.from({ length: 2 ** 20 }, () => 3 * random.normal());
values[7] = 60;

it('observing and range methods are timed', async () => {
  const empty = emptyStatistics();
  const byChannel = emptyStatistics(1024);
  const tensors = Array.from({ length: 50 }, (_, index) => {
    const scaled = values.map((value) => value * (1 + index / 10));
    scaled[3] = 30 + index * 5;
    return observe(empty, scaled);
  });
  const choosing = RANGE_METHODS.flatMap(({ name, choose }) =>
    (['int8', 'uint8'] as const).map((dataType): Timed => {
      const scheme = { dataType, symmetric: dataType === 'int8' };
      return [
        `50 ranges: ${name}, ${dataType}`,
        () => tensors.forEach((tensor) => void choose(tensor, scheme)),
      ];
    }),
  );
  const medians = await timeInTurns(
    [
      ['observe 1,048,576 values', () => observe(empty, values)],
      ['the same with 1,024 channels', () => observe(byChannel, values)],
      ...choosing,
    ],
    3,
  );
  console.log(`\n${describeMachine()}`);
  for (const [name, milliseconds] of medians) {
    console.log(`${name.padEnd(34)}${milliseconds.toFixed(1).padStart(10)} ms`);
  }
  expect(medians.size).toBe(2 + 2 * RANGE_METHODS.length);
});
