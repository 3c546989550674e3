import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import {
  writeOnnxruntimeJson,
  writeOnnxruntimeTable,
} from '../../../src/calibrate/tables/onnxruntime-table.ts';

interface Golden {
  readonly ranges: Readonly<Record<string, readonly [number, number]>>;
  readonly hex: string;
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

test('The table of two tensors is the 96 bytes that onnxruntime writes.', () => {
  const ranges = new Map([
    ['x', { min: 0, max: 1 }],
    ['y', { min: -2, max: 1 }],
  ]);
  expect(hex(writeOnnxruntimeTable(ranges))).toBe(
    '0c00000000000600080004000600000004000000020000000800000028000000e4ffffff080000000c00000003000000' +
      '322e3000010000007900000008000c000800040008000000080000000c00000003000000312e30000100000078000000',
  );
});

test('Names and values of any length, beyond ASCII too, are laid out as by onnxruntime 1.30.', () => {
  const golden = JSON.parse(
    readFileSync(new URL('golden/onnxruntime-table.json', import.meta.url), 'utf8'),
  ) as Golden;
  const ranges = new Map(
    Object.entries(golden.ranges).map(([name, [min, max]]) => [name, { min, max }]),
  );
  expect(hex(writeOnnxruntimeTable(ranges))).toBe(golden.hex);
});

test('A table of nothing is a root with an empty vector.', () => {
  expect(hex(writeOnnxruntimeTable(new Map()))).toBe(
    '0c000000000006000800040006000000' + '04000000' + '00000000',
  );
});

test('The JSON beside it holds mirrored ranges.', () => {
  const ranges = new Map([
    ['y', { min: -10, max: 1 }],
    ['x', { min: 0, max: 0 }],
  ]);
  expect(JSON.parse(writeOnnxruntimeJson(ranges))).toEqual({
    x: { lowest: 0, highest: 0 },
    y: { lowest: -10, highest: 10 },
  });
});
