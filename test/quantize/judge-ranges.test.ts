import { describe, expect, it } from 'vitest';
import { judgeRanges, type SeenActivation } from '../../src/quantize/judge-ranges.ts';
import { noise } from '../kit/models.ts';

const WIDTH = 100;

interface Row {
  readonly size: number;
  /** Largest magnitude in the run of the row. */
  readonly reach: number;
}

/** An activation of rows of even noise, -size to size, in which channel 0 may be louder. */
function seen(rows: readonly Row[], loudest = 1): SeenActivation {
  const values = rows.map(({ size }, index) =>
    noise(index + 1, WIDTH).map((value, channel) => value * size * (channel === 0 ? loudest : 1)),
  );
  return {
    reach: Math.max(...rows.map(({ reach }) => reach)),
    rows: values.map((row, index) => ({ values: row, reach: rows[index]!.reach })),
  };
}

function judge(activation: SeenActivation, limit: number, scales?: Float32Array) {
  const range = { min: -limit, max: limit, calibrator: 'minmax' } as const;
  const divisors = new Map(scales === undefined ? [] : [['h', scales]]);
  return judgeRanges(new Map([['h', range]]), new Map([['h', activation]]), divisors, false).get(
    'h',
  )!;
}

const evenly = Array.from({ length: 8 }, () => ({ size: 1, reach: 1 }));

describe('judgeRanges', () => {
  it('has nothing against rows that use the codes, nor against a few loud rows', () => {
    expect(judge(seen(evenly), 1)).not.toHaveProperty('unfit');
    // 255 codes over 40 for rows of 1: 13 codes, 0.58 of noise for 0.045 of error: 22 dB.
    const loud = [...evenly.slice(0, 5), ...evenly.slice(5).map(() => ({ size: 20, reach: 20 }))];
    expect(judge(seen(loud), 20)).not.toHaveProperty('unfit');
  });

  it('counts rows, so that one huge row does not stand for the others', () => {
    const one = [{ size: 3000, reach: 3000 }, ...evenly.slice(1)];
    // A code is 6000 / 255 = 24 wide: everything else becomes zero, and is lost whole.
    expect(judge(seen(one), 3000).unfit).toBe('INT8 would lose most rows of its input (0 dB)');
  });

  it('counts channels, too, so that a huge one does not stand for the others of every row', () => {
    const { unfit } = judge(seen(evenly, 3000), 3000);
    expect(unfit).toBe('INT8 would lose most channels of its input (0 dB)');
  });

  it('takes rows as smoothing leaves them', () => {
    const scales = new Float32Array(WIDTH).fill(1);
    scales[0] = 3000;
    expect(judge(seen(evenly, 3000), 1, scales)).not.toHaveProperty('unfit');
  });

  it('tells ranges of every run from one range for all of them', () => {
    const even = Array.from({ length: 8 }, (_, index) => {
      const size = index < 7 ? 0.001 : 1;
      return { size, reach: size };
    });
    const apart = judge(seen(even), 1);
    expect(apart.unfit).toMatch('(0 dB)');
    expect(apart).not.toHaveProperty('unfitInRun');
    // A loud row in every run.
    const together = judge(seen(even.map(({ size }) => ({ size, reach: 1 }))), 1);
    expect(together.unfitInRun).toMatch('(0 dB)');
  });

  it('finds in two planes what one plane loses, up to some 90 dB', () => {
    const one = [{ size: 3000, reach: 3000 }, ...evenly.slice(1)];
    expect(judge(seen(one), 3000)).not.toHaveProperty('unfitInPlanes');
    // Steps of 24 / 255 = 0.09 for values of 0.01.
    const tiny = [
      { size: 3000, reach: 3000 },
      ...evenly.slice(1).map(() => ({ size: 0.01, reach: 1 })),
    ];
    expect(judge(seen(tiny), 3000).unfitInPlanes).toMatch('rows of its input (0 dB)');
    expect(judge({ reach: 0 }, 0).unfitInPlanes).toBe('calibration never reached it');
  });

  it('knows an activation that was never more than zero', () => {
    const { unfit, unfitInRun } = judge({ reach: 0 }, 0);
    expect(unfit).toBe('calibration never reached it');
    // A range of its own in every run is right whatever comes.
    expect(unfitInRun).toBeUndefined();
  });

  it('says nothing where calibration has kept no rows', () => {
    expect(judge({ reach: 3000 }, 3000)).not.toHaveProperty('unfit');
  });
});
