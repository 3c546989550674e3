import { expect, test } from 'vitest';
import { writeTensorrtCache } from '../../../src/calibrate/tables/tensorrt-cache.ts';
import { UsageError } from '../../../src/errors.ts';

function symmetric(amax: number): { min: number; max: number } {
  return { min: -amax, max: amax };
}

test('A line holds amax / 127 as eight hexadecimal digits, sorted by name.', () => {
  const ranges = new Map([
    ['two', symmetric(2)],
    ['half', symmetric(0.5)],
    ['unit', { min: -0.25, max: 1 }],
    ['lower', { min: -127, max: 3 }],
    ['none', symmetric(0)],
  ]);
  expect(writeTensorrtCache(ranges, { version: '10.3.0' })).toBe(
    `TRT-100300-EntropyCalibration2
half: 3b810204
lower: 3f800000
none: 3f800000
two: 3c810204
unit: 3c010204
`,
  );
});

test.each([
  ['8.4.1', 'TRT-8401-'],
  ['9.3.0', 'TRT-9300-'],
  ['10.14.1', 'TRT-101401-'],
  ['10.3.0.26', 'TRT-100300-'],
])('Version %s begins the file with %s.', (version, header) => {
  const text = writeTensorrtCache(new Map(), { version, calibrator: 'MinMaxCalibration' });
  expect(text).toBe(`${header}MinMaxCalibration\n`);
});

test('Names with a colon and bad versions are refused.', () => {
  const ranges = new Map([['a:0', symmetric(1)]]);
  expect(() => writeTensorrtCache(ranges, { version: '10.3.0' })).toThrow(UsageError);
  expect(() => writeTensorrtCache(ranges, { version: '10.3.0' })).toThrow('a:0: a TensorRT');
  expect(() => writeTensorrtCache(new Map(), { version: '10' })).toThrow('TensorRT version "10"');
});
