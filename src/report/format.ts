/** Figures as people read them. The only place where units are converted. */
import type { Interval } from '../check/check-result.ts';

/** Shown where nothing was measured. */
export const NOT_MEASURED = '-';

/** Returns decimal units with three significant digits: `3.81 MB`, `512 B`. */
export function formatBytes(byteLength: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let value = byteLength;
  let unit = 0;
  // 999.5 would round to 1000 of the smaller unit.
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? String(value) : formatSignificant(value, 3)} ${units[unit]}`;
}

/** Returns milliseconds with three significant digits and no unit: `0.0123`, `4.21`, `1250`. */
export function formatMilliseconds(milliseconds: number): string {
  return formatSignificant(milliseconds, 3);
}

/** Returns a fraction as percent: `61.24 %`. */
export function formatPercent(fraction: number, fractionDigits = 2): string {
  return `${(100 * fraction).toFixed(fractionDigits)} %`;
}

/** Returns a ratio: `0.530x`, `2.71x`. */
export function formatRatio(ratio: number, digits = 3): string {
  return `${formatSignificant(ratio, digits)}x`;
}

/** Returns signed percent points: `-0.14 pt`, `0.00 pt`. */
export function formatPoints(points: number): string {
  const text = points.toFixed(2);
  const magnitude = text.replace('-', '');
  if (Number(text) === 0) return `${magnitude} pt`;
  return `${points > 0 ? '+' : '-'}${magnitude} pt`;
}

/** Returns `[low, high]`; empty when there is no interval. */
export function formatInterval(
  interval: Interval | null,
  format: (value: number) => string = (value) => formatSignificant(value, 3),
): string {
  return interval === null ? '' : `[${format(interval.low)}, ${format(interval.high)}]`;
}

/** Returns a whole number with thousands separators: `30,476`. */
export function formatCount(count: number): string {
  return Math.round(count).toLocaleString('en-US');
}

/** Returns a rate: whole from 100 on, three significant digits below, where `2 -> 3` would say nothing. */
export function formatRate(perSecond: number): string {
  return perSecond < 99.95 ? formatSignificant(perSecond, 3) : formatCount(perSecond);
}

/** Returns significant digits without an exponent, except for figures below 0.001: `0.0124`, `3.2e-7`. */
export function formatSignificant(value: number, digits: number): string {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size < 1e-3) return value.toExponential(Math.min(1, digits - 1));
  const whole = Math.floor(Math.log10(size)) + 1;
  const fixed = value.toFixed(Math.max(0, Math.min(12, digits - whole)));
  // 9.996 rounds up to 10.00: one digit too many.
  const rounded = Math.floor(Math.log10(Math.abs(Number(fixed)))) + 1;
  return rounded > whole ? value.toFixed(Math.max(0, digits - rounded)) : fixed;
}

/** Returns text broken at spaces into lines of at most `width` characters; longer words stand alone. */
export function wrapText(text: string, width: number): readonly string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/).filter((part) => part !== '')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else {
      line = line === '' ? word : `${line} ${word}`;
    }
  }
  return line === '' && lines.length > 0 ? lines : [...lines, line];
}
