import { describe, expect, test } from 'vitest';
import {
  type CalibrationFile,
  type CalibrationRun,
  createCalibration,
  mergeCalibrations,
  parseCalibration,
  serialiseCalibration,
} from '../../src/calibrate/calibration-file.ts';
import { emptyStatistics, observe } from '../../src/calibrate/statistics.ts';
import { FormatError, UsageError } from '../../src/errors.ts';
import { createRandom, shuffle } from '../../src/numerics/random.ts';

const RUN: Omit<CalibrationRun, 'samples'> = {
  model: { sha256: 'a'.repeat(64) },
  data: { sha256: 'b'.repeat(64) },
  options: { calibrator: 'auto', seed: 7, sequenceLength: 16 },
};

/** The values of a tensor in a sample; 'h.1' has NaN in sample 2. */
function valuesOf(tensor: string, sample: number): Float32Array {
  const random = createRandom(sample * 31 + tensor.length);
  const values = Float32Array.from({ length: 64 }, () => random.normal() * 3 ** sample);
  if (tensor === 'h.1' && sample === 2) values[5] = NaN;
  return values;
}

function calibrate(samples: readonly number[], run = RUN): CalibrationFile {
  const tensors = new Map(
    ['h.1', 'h.0/out', 'é"\n'].map((name) => [
      name,
      samples.reduce(
        (statistics, sample) => observe(statistics, valuesOf(name, sample)),
        emptyStatistics(name === 'h.1' ? 4 : undefined),
      ),
    ]),
  );
  return createCalibration({ ...run, samples }, tensors);
}

const ALL = [0, 1, 2, 3, 4, 5, 6, 7];

describe('calibration.json', () => {
  test('comes back from text as it was, and again as the same text.', () => {
    const calibration = calibrate(ALL);
    const text = serialiseCalibration(calibration);
    const read = parseCalibration(text, 'calibration.json');
    expect(read).toEqual({
      ...calibration,
      scales: new Map([...calibration.scales].sort(([a], [b]) => (a < b ? -1 : 1))),
      tensors: new Map([...calibration.tensors].sort(([a], [b]) => (a < b ? -1 : 1))),
    });
    expect(serialiseCalibration(read)).toBe(text);
  });

  test('keeps the kinds of text that were read, whole and merged, and refuses an empty list of them.', () => {
    const run = { ...RUN, data: { ...RUN.data, domains: ['english', 'c'] } };
    const merged = mergeCalibrations(calibrate([0, 2], run), calibrate([1], run));
    expect(merged.data.domains).toEqual(['english', 'c']);
    const text = serialiseCalibration(merged);
    expect(parseCalibration(text, 'calibration.json').data).toEqual(run.data);
    const none = text.replace('["english","c"]', '[]');
    expect(() => parseCalibration(none, 'calibration.json')).toThrow(/data\.domains/);
  });

  test('has a line per tensor, sorted, below a short head.', () => {
    const lines = serialiseCalibration(calibrate([1, 0])).split('\n');
    expect(lines.slice(0, 5)).toEqual([
      '{',
      `"data": {"sha256":"${'b'.repeat(64)}"},`,
      `"model": {"sha256":"${'a'.repeat(64)}"},`,
      '"options": {"calibrator":"auto","seed":7,"sequenceLength":16},',
      '"samples": [0,1],',
    ]);
    const tensors = lines.slice(lines.indexOf('"tensors": {') + 1, -3);
    expect(tensors.map((line) => line.slice(0, 7))).toEqual(['"h.0/ou', '"h.1": ', '"é\\"\\n"']);
  });

  test('of four shards, merged in any order, is byte-equal to one run.', () => {
    const whole = serialiseCalibration(calibrate(ALL));
    const random = createRandom(1);
    for (let trial = 0; trial < 20; trial++) {
      const order = shuffle(ALL, random);
      const shards = [0, 2, 4, 6].map((start) => calibrate(order.slice(start, start + 2)));
      // Through text, as `calibrate merge` gets them.
      const read = shards.map((shard) => parseCalibration(serialiseCalibration(shard), 'shard'));
      expect(serialiseCalibration(read.reduce(mergeCalibrations))).toBe(whole);
    }
  });

  test('holds scales for TensorRT and for onnxruntime, with the method that chose them.', () => {
    const minmax = { ...RUN, options: { ...RUN.options, calibrator: 'minmax' } };
    const tensors = new Map([['x', observe(emptyStatistics(), Float32Array.of(-3, 5))]]);
    const { scales } = createCalibration({ ...minmax, samples: [0] }, tensors);
    const range = { method: 'minmax', min: -3, max: 5 };
    expect(scales.get('x')).toEqual({
      int8: { ...range, scale: Math.fround(5 / 127), zeroPoint: 0 },
      uint8: { ...range, scale: Math.fround(8 / 255), zeroPoint: 96 },
    });
  });

  test('of tensors that hold no value writes null and reads it again.', () => {
    const tensors = new Map([['x', observe(emptyStatistics(), Float32Array.of(NaN))]]);
    const text = serialiseCalibration(createCalibration({ ...RUN, samples: [0] }, tensors));
    expect(text).toContain('"max":null,"min":null,"nanCount":1');
    expect(parseCalibration(text, 'c').tensors.get('x')?.min).toBe(Infinity);
  });

  test('is not made when a tensor missed a sample.', () => {
    const { tensors } = calibrate([0, 1]);
    expect(() => createCalibration({ ...RUN, samples: [0, 1, 2] }, tensors)).toThrow(
      'h.1 was observed 2 times in 3 samples',
    );
  });
});

describe('Merging refuses', () => {
  test.each<[string, Partial<CalibrationRun>]>([
    ['models', { model: { sha256: 'c'.repeat(64) } }],
    ['data sets', { data: { sha256: 'c'.repeat(64) } }],
    ['options', { options: { ...RUN.options, seed: 8 } }],
  ])('calibrations of different %s.', (what, change) => {
    const merge = () => mergeCalibrations(calibrate([0]), calibrate([1], { ...RUN, ...change }));
    expect(merge).toThrow(UsageError);
    expect(merge).toThrow(`merge: the calibrations are of different ${what} (got `);
  });

  test('a sample seen twice.', () => {
    expect(() => mergeCalibrations(calibrate([0, 3]), calibrate([4, 3]))).toThrow(
      'both calibrations saw sample 3',
    );
  });

  test('calibrations of different tensors.', () => {
    const other = calibrate([1]);
    const fewer = { ...other, tensors: new Map([...other.tensors].slice(1)) };
    expect(() => mergeCalibrations(calibrate([0]), fewer)).toThrow('got h.1 and none');
  });
});

describe('Reading refuses', () => {
  const text = serialiseCalibration(calibrate([0]));
  test.each([
    ['not JSON', '{', 'calibration.json: is not JSON'],
    [
      'another version',
      text.replace('calibration/1', 'calibration/2'),
      'got schema "autoglm.calibration/2"',
    ],
    ['null', 'null', 'got schema undefined'],
    ['a negative count', text.replace('"nanCount":0', '"nanCount":-1'), 'tensors.h.0/out.nanCount'],
    ['a zero scale', text.replace(/"scale":[\d.e-]+/, '"scale":0'), 'scales.h.0/out.int8.scale'],
    ['a sum in other words', text.replace(/"sum":"[^"]+"/, '"sum":"1.5"'), 'tensors.h.0/out.sum'],
    [
      'a histogram that lost a value',
      text.replace('"count":64', '"count":65'),
      'tensors.h.0/out.histogram: the histogram does not',
    ],
    ['an unknown key', text.replace('"nanCount"', '"nans"'), 'tensors.h.0/out'],
    [
      'channels of different lengths',
      text.replace(/"channels":\{"max":"[^"]{8}/, '"channels":{"max":"'),
      'tensors.h.1.channels',
    ],
  ])('%s, naming the file.', (_, bad, message) => {
    expect(() => parseCalibration(bad, 'calibration.json')).toThrow(FormatError);
    expect(() => parseCalibration(bad, 'calibration.json')).toThrow(message);
  });
});
