import { describe, expect, it } from 'vitest';
import type { OutputSimilarity } from '../../src/check/check-result.ts';
import { judgedCosine, judgedSqnr } from '../../src/check/row-similarity.ts';
import {
  mergeSimilarity,
  NO_SIMILARITY,
  type OutputPair,
  observeSimilarity,
  summarizeSimilarity,
} from '../../src/check/similarity-sums.ts';
import { normals } from './tiny-models.ts';

function compare(...samples: readonly OutputPair[]): OutputSimilarity {
  const sums = samples.map(observeSimilarity).reduce(mergeSimilarity, NO_SIMILARITY);
  return summarizeSimilarity('y', sums);
}

describe('similarity by row', () => {
  it('counts every row alike: by hand, rows at 20 dB, 40 dB and equal', () => {
    // 10 against 11: error^2 / source^2 = 1/100; 100 against 101: 1/10,000.
    const source = Float32Array.of(10, 0, 100, 0, 0, 5);
    const artifact = Float32Array.of(11, 0, 100, 1, 0, 5);
    const { rows, sqnrDb } = compare({ source, artifact, dims: [1, 3, 2] });
    expect(rows?.count).toBe(3);
    expect(rows?.sqnrDb.mean).toBeCloseTo((20 + 40 + 150) / 3, 9);
    expect(rows?.sqnrDb.worst).toBeCloseTo(20, 9);
    expect(rows?.cosine.worst).toBeCloseTo(100 / Math.sqrt(10_001), 9);
    expect(rows?.cosine.mean).toBeCloseTo((2 + 100 / Math.sqrt(10_001)) / 3, 9);
    expect(sqnrDb).toBeCloseTo(10 * Math.log10(10_125 / 2), 9);
  });

  it('sees that all rows but a loud one are lost, where the sums over elements do not', () => {
    const [width, positions] = [24, 40];
    const source = normals(width * positions, 41);
    const artifact = normals(width * positions, 42);
    // Position 3 is 2,000 times as loud and kept; of the others nothing is left but other noise.
    for (let k = 3 * width; k < 4 * width; k++) artifact[k] = source[k]! *= 2000;
    const found = compare({ source, artifact, dims: [1, positions, width] });
    expect(found.cosine).toBeGreaterThan(0.9999);
    expect(found.sqnrDb).toBeGreaterThan(40);
    expect(found.rows?.cosine.mean).toBeLessThan(0.2);
    expect(judgedCosine(found)).toBe(found.rows?.cosine.mean);
    // Independent noise of the same strength: 1 / 2 of the energy, -3 dB, and 150 dB once in 40 rows.
    expect(found.rows?.sqnrDb.worst).toBeLessThan(0);
    expect(judgedSqnr(found)).toBeLessThan(2);
  });

  it('gives the first percentile within 0.1 % of the noise', () => {
    const count = 500;
    const source = new Float32Array(2 * count).fill(1);
    const artifact = Float32Array.from(
      source,
      (value, k) => value + (Math.floor(k / 2) + 1) / 1024,
    );
    const { rows } = compare({ source, artifact, dims: [count, 2] });
    // 5 of 500 rows are worse than the row of error 495 / 1024.
    const exact = -20 * Math.log10(495 / 1024);
    expect(Math.abs(rows!.sqnrDb.p1 - exact)).toBeLessThan(0.0044);
    expect(rows?.sqnrDb.worst).toBeCloseTo(-20 * Math.log10(500 / 1024), 9);
  });

  it('is the same for samples together and apart', () => {
    const source = normals(960, 7);
    const artifact = source.map((value, k) => value + 0.01 * Math.sin(k));
    const whole = compare({ source, artifact, dims: [1, 40, 24] });
    const halves = [0, 480].map((start) => ({
      source: source.subarray(start, start + 480),
      artifact: artifact.subarray(start, start + 480),
      dims: [1, 20, 24],
    }));
    const parts = compare(...halves);
    expect(parts.rows?.count).toBe(whole.rows?.count);
    expect(parts.rows?.sqnrDb.p1).toBe(whole.rows?.sqnrDb.p1);
    expect(parts.rows?.cosine.worst).toBe(whole.rows?.cosine.worst);
    // Sums in another order: the last bits of float64.
    expect(parts.rows?.sqnrDb.mean).toBeCloseTo(whole.rows!.sqnrDb.mean, 10);
  });

  it('leaves silent rows and padding out', () => {
    const source = Float32Array.of(3, 4, 0, 0, 1e-3, 0, 3, 4, 3, 4);
    const artifact = Float32Array.of(3, 4, 0.1, 0, 0, 1e-3, 3, 4, -3, -4);
    const rowMask = BigInt64Array.of(1n, 1n, 1n, 1n, 0n);
    const { rows } = compare({ source, artifact, dims: [1, 5, 2], rowMask });
    expect(rows).toMatchObject({ count: 2, silent: 2, cosine: { mean: 1, worst: 1 } });
  });

  it('has no angle of single elements, by row or by sample', () => {
    const one = (source: number, artifact: number): OutputPair => ({
      source: Float32Array.of(source),
      artifact: Float32Array.of(artifact),
      dims: [1, 1],
    });
    const found = compare(one(3, 3.1), one(-4, -4.2), one(1, -0.2));
    expect(found.worstSampleCosine).toBeNull();
    expect(found.rows).toBeNull();
    expect(found.cosine).toBeLessThan(1);
    expect(judgedCosine(found)).toBe(found.cosine);
    // One value per position: the row is the sequence.
    const scores = normals(16, 5);
    const sequence = compare({ source: scores, artifact: scores, dims: [1, 16, 1] });
    expect(sequence.rows).toMatchObject({ count: 1, cosine: { mean: 1 } });
  });

  it('has nothing to say of an empty output or of values that are not finite', () => {
    const nothing = new Float32Array();
    expect(compare({ source: nothing, artifact: nothing, dims: [1, 0, 8] })).toMatchObject({
      elements: 0,
      cosine: null,
      rows: null,
    });
    const source = Float32Array.of(1, 2);
    const artifact = Float32Array.of(1, Number.NaN);
    expect(compare({ source, artifact, dims: [1, 2] })).toMatchObject({ cosine: null, rows: null });
  });
});
