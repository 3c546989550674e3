import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  formatBytes,
  formatInterval,
  formatMilliseconds,
  formatPercent,
  formatPoints,
  formatRate,
  formatRatio,
  formatSignificant,
  wrapText,
} from '../../src/report/format.ts';

describe('formatBytes', () => {
  it('uses decimal units with three significant digits', () => {
    expect(formatBytes(0)).toBe('0 B');
    expect(formatBytes(999)).toBe('999 B');
    expect(formatBytes(1000)).toBe('1.00 kB');
    expect(formatBytes(3_812_345)).toBe('3.81 MB');
    expect(formatBytes(999_600)).toBe('1.00 MB');
    expect(formatBytes(18_800_000_000)).toBe('18.8 GB');
  });
});

describe('formatSignificant', () => {
  it('keeps the number of digits when rounding makes a number longer', () => {
    expect(formatSignificant(9.996, 3)).toBe('10.0');
    expect(formatSignificant(99.96, 3)).toBe('100');
    expect(formatSignificant(0.9996, 3)).toBe('1.00');
  });

  it('shows small figures with an exponent instead of as zero', () => {
    expect(formatSignificant(3.24e-7, 3)).toBe('3.2e-7');
    expect(formatSignificant(0, 3)).toBe('0');
  });

  it('is never further from the value than half a unit of its third digit', () => {
    const positive = fc.double({ min: 1e-3, max: 1e9, noNaN: true });
    fc.assert(
      fc.property(positive, (value) => {
        const shown = Number(formatSignificant(value, 3));
        expect(Math.abs(shown - value)).toBeLessThanOrEqual(value * 0.00501);
      }),
    );
  });
});

describe('figures in words', () => {
  it('signs points, but never writes minus zero', () => {
    expect(formatPoints(-0.14)).toBe('-0.14 pt');
    expect(formatPoints(0.5)).toBe('+0.50 pt');
    expect(formatPoints(-0.001)).toBe('0.00 pt');
  });

  it('shows ratios, percent, milliseconds and intervals', () => {
    expect(formatRatio(0.53)).toBe('0.530x');
    expect(formatPercent(0.6124)).toBe('61.24 %');
    expect(formatMilliseconds(1250.4)).toBe('1250');
    expect(formatInterval({ low: 2.63, high: 2.801 })).toBe('[2.63, 2.80]');
    expect(formatInterval(null)).toBe('');
  });
});

describe('wrapText', () => {
  it('breaks at spaces and leaves long words whole', () => {
    expect(wrapText('a bb ccc', 4)).toEqual(['a bb', 'ccc']);
    expect(wrapText('abcdefgh i', 4)).toEqual(['abcdefgh', 'i']);
    expect(wrapText('', 4)).toEqual(['']);
  });
});

describe('formatRate', () => {
  it('has three digits below 100 per second, and is whole above', () => {
    expect([0.034567, 1.966, 9.999, 99.94, 99.96, 2977.4, 12_345.6].map(formatRate)).toEqual([
      '0.0346',
      '1.97',
      '10.0',
      '99.9',
      '100',
      '2,977',
      '12,346',
    ]);
  });
});
