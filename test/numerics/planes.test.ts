import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chooseScale } from '../../src/numerics/affine.ts';
import { residualPlane, throughPlane, throughPlanes } from '../../src/numerics/planes.ts';

const uint8 = { dataType: 'uint8', symmetric: false } as const;

describe('two planes of uint8', () => {
  it('hold by hand what one of them rounds away', () => {
    // Steps of 1 from -100 to 155; the residual has steps of 1/255 about 128.
    const coarse = chooseScale({ min: -100, max: 155 }, uint8);
    expect(coarse).toEqual({ scale: 1, zeroPoint: 100 });
    expect(residualPlane(coarse)).toEqual({ scale: Math.fround(1 / 255), zeroPoint: 128 });
    const values = Float32Array.of(0.25, -37.4, 154.6, 100.5);
    expect([...throughPlane(values, coarse)]).toEqual([0, -37, 155, 100]);
    // 0.25 * 255 = 63.75 -> 64; -0.4 * 255 = -102; 0.5 * 255 = 127.5 saturates at 127.
    const steps = [64, -37 * 255 - 102, 155 * 255 - 102, 100 * 255 + 127];
    throughPlanes(values, coarse).forEach((value, index) => {
      expect(value).toBeCloseTo(steps[index]! / 255, 4);
    });
  });

  it('err by half a fine step within the range, but for the tie at half a coarse one', () => {
    const range = fc.tuple(
      fc.double({ min: -1e6, max: 0, noNaN: true }),
      fc.double({ min: 1e-3, max: 1e6, noNaN: true }),
    );
    fc.assert(
      fc.property(range, fc.double({ min: 0, max: 1, noNaN: true }), ([min, max], share) => {
        const coarse = chooseScale({ min, max }, uint8);
        // Zero points are rounded, so up to half a step at either end is outside.
        const inside = { min: min + coarse.scale, max: max - coarse.scale };
        const x = Math.fround(inside.min + share * (inside.max - inside.min));
        const error = Math.abs(throughPlanes(Float32Array.of(x), coarse)[0]! - x);
        // Float32 rounds x, the coarse value and their sum.
        const rounding = 4 * 2 ** -24 * Math.max(-min, max);
        return error <= (coarse.scale / 255) * 1.001 + rounding;
      }),
    );
  });

  it('clip what lies outside as one plane does', () => {
    const coarse = chooseScale({ min: 0, max: 255 }, uint8);
    const [held] = throughPlanes(Float32Array.of(1000), coarse);
    expect(held).toBeCloseTo(255 + 127 / 255, 4);
  });

  it('never has a subnormal step', () => {
    expect(residualPlane({ scale: 2 ** -126, zeroPoint: 0 }).scale).toBe(2 ** -126);
  });
});
