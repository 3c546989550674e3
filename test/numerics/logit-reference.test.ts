import { describe, expect, it } from 'vitest';
import {
  compareWithReference,
  makeLogitReference,
  mergeLogitSums,
  NO_TARGET,
} from '../../src/numerics/logit-reference.ts';
import { klDivergences, negativeLogLikelihoods } from '../../src/numerics/logits.ts';
import { createRandom } from '../../src/numerics/random.ts';

const random = createRandom(7);
const classCount = 300;
const rows = 5;
const make = (spread: number) =>
  Float32Array.from({ length: rows * classCount }, () => spread * (random.uniform() - 0.5));
const source = make(20);
const candidate = source.map((value, index) => value + (index % 7) * 0.05);
const targets = Int32Array.of(3, 299, NO_TARGET, 0, 17);

describe('compareWithReference', () => {
  const reference = makeLogitReference(Float32Array.from(source), classCount, targets);
  const sums = compareWithReference(reference, candidate);

  it('gives the divergences and likelihoods of numerics/logits', () => {
    const kl = klDivergences(source, candidate, classCount).reduce((a, b) => a + b, 0);
    // Probabilities are kept in float32: an error of 6e-8 per unit of logit.
    expect(Math.abs(sums.klNats - kl)).toBeLessThan(1e-5);
    const nll = negativeLogLikelihoods(candidate, classCount, targets).filter(
      (value) => !Number.isNaN(value),
    );
    expect(sums.judged).toBe(4);
    expect(sums.candidateNll).toBeCloseTo(
      nll.reduce((a, b) => a + b, 0),
      9,
    );
  });

  it('finds no divergence of a model from itself beyond float32 rounding', () => {
    const own = compareWithReference(reference, source);
    expect(own.klNats).toBeLessThan(1e-5);
    expect(own.agreements).toBe(rows);
    expect(own.candidateNll).toBeCloseTo(own.referenceNll, 12);
  });

  it('counts who is right on the rows that have a target', () => {
    const two = makeLogitReference(Float32Array.of(0, 1, 2, 2, 1, 0), 3, Int32Array.of(2, 0));
    const found = compareWithReference(two, Float32Array.of(5, 1, 2, 2, 1, 0));
    expect(found).toMatchObject({ agreements: 1, referenceRight: 2, candidateRight: 1, judged: 2 });
  });

  it('gives NaN for logits that are not finite', () => {
    const broken = Float32Array.from(candidate);
    broken[0] = NaN;
    expect(compareWithReference(reference, broken).klNats).toBeNaN();
  });

  it('adds up over disjoint rows', () => {
    expect(mergeLogitSums(sums, sums)).toMatchObject({
      rows: 2 * rows,
      klNats: 2 * sums.klNats,
      judged: 8,
    });
  });

  it('refuses another number of logits', () => {
    expect(() => compareWithReference(reference, new Float32Array(3))).toThrow(/shapes differ/);
  });
});
