import { describe, expect, it } from 'vitest';
import type { GateInput } from '../../src/check/gate-table.ts';
import { evaluateGates, GATES_SCHEMA, parseGates } from '../../src/check/gates.ts';
import { UsageError } from '../../src/errors.ts';
import { SAMPLE_CHECK } from '../report/sample-check.ts';

const NOTHING: GateInput = {
  accuracy: null,
  latency: [],
  sizes: { ...SAMPLE_CHECK.sizes, peakMemoryRatio: null },
  saturation: null,
  fusion: null,
};

/** What the sample check measured, each limit just met. */
const MET = {
  maxTop1Drop: '0.14pt',
  maxPerplexityRatio: 1.001464,
  maxKl: 0.001243,
  maxKlP999: 0.02134,
  minAgreement: '98.926%',
  // The mean row is worse than all elements together in cosine and in SQNR.
  minCosine: 0.999731,
  minSqnr: 33.42,
  minRowCosine: 0.997213,
  minRowSqnr: 22.51,
  minSpeedup: 2.7097,
  minFused: 11 / 12,
  maxSizeRatio: 0.53,
  maxPeakMemoryRatio: 0.9167,
  // 6 of 98,304 pairs.
  maxUnsafePairs: 6 / 98_304,
};

/** The same, each limit just missed. */
const MISSED = {
  maxTop1Drop: '0.13%',
  maxPerplexityRatio: 1.00146,
  maxKl: 0.00124,
  maxKlP999: 0.0213,
  minAgreement: 0.9893,
  minCosine: 0.99974,
  minSqnr: 33.43,
  minRowCosine: 0.99722,
  minRowSqnr: 22.52,
  minSpeedup: 2.71,
  minFused: '91.7%',
  maxSizeRatio: 0.52,
  maxPeakMemoryRatio: 0.91,
  maxUnsafePairs: '0.006%',
};

describe('evaluateGates', () => {
  it('passes every gate whose limit is met exactly', () => {
    const results = evaluateGates(MET, SAMPLE_CHECK);
    expect(results.map(({ gate, passed }) => [gate, passed])).toEqual(
      Object.keys(MET).map((gate) => [gate, true]),
    );
  });

  it('fails every gate whose limit is missed by a little', () => {
    const results = evaluateGates(MISSED, SAMPLE_CHECK);
    expect(results.map(({ gate, passed }) => [gate, passed])).toEqual(
      Object.keys(MISSED).map((gate) => [gate, false]),
    );
  });

  it('fails every gate whose figure was not measured, and says why', () => {
    const { maxSizeRatio: _, ...others } = MET;
    const results = evaluateGates(others, NOTHING);
    expect(results.map(({ passed, measured, value }) => [passed, measured, value])).toEqual(
      Object.keys(others).map(() => [false, 'not measured', null]),
    );
    expect(results[0]?.text).toBe(
      'maxTop1Drop: the loss of top-1 was not measured, no held-out data were run (expected <= 0.14pt).',
    );
  });

  it('counts layers that were taken back because they did not fuse as not fused', () => {
    const fusion = {
      // Of ten layers one became float, one weight-only, and one fuses in no form.
      planned: 9,
      fused: 8,
      kernels: { MatMulIntegerToFloat: 7, MatMulNBits: 1 },
      unfused: SAMPLE_CHECK.fusion!.unfused,
      takenBack: [
        { layer: 'up', scheme: 'w8a16', reason: 'did not fuse (ran as Gemm)' },
        { layer: 'gate', scheme: 'float', reason: 'did not fuse (ran as Gemm)' },
      ],
    };
    const [result] = evaluateGates({ minFused: 0.95 }, { ...NOTHING, fusion });
    expect(result).toMatchObject({ passed: false, value: 0.7 });
    expect(result?.text).toBe(
      'minFused: the share of planned layers that fused is 70% (expected >= 95%, ' +
        'model.layers.0.mlp.down_proj: ran as a float MatMul: the weight is widened in every run).',
    );
  });

  it('asks for nothing when there are no gates', () => {
    expect(evaluateGates({}, NOTHING)).toEqual([]);
  });

  it('takes percent of top-1 as points, never as a share of the accuracy', () => {
    const [result] = evaluateGates({ maxTop1Drop: '1.2%' }, SAMPLE_CHECK);
    expect(result?.limit).toBe('<= 1.2pt');
    expect(result?.text).toBe(
      'maxTop1Drop: the loss of top-1 is 0.14pt (expected <= 1.2pt, 95 % interval -0.02pt to 0.3pt).',
    );
  });

  it('fails a speedup that may be noise, even when the median is above the limit', () => {
    const [entry] = SAMPLE_CHECK.latency;
    const noisy = {
      ...entry!,
      speedup: 1.2,
      speedupInterval: { low: 0.9, high: 1.6 },
      verdict: 'no measurable difference',
    } as const;
    const [result] = evaluateGates({ minSpeedup: 1.1 }, { ...SAMPLE_CHECK, latency: [noisy] });
    expect(result?.passed).toBe(false);
    expect(result?.text).toBe(
      'minSpeedup: the speedup is 1.2x (expected >= 1.1x, prefill 128, 95 % interval 0.9x to 1.6x, ' +
        'but prefill 128 shows no measurable difference).',
    );
    // "At most 10 % slower" is no claim of speed and needs no proof of one.
    expect(
      evaluateGates({ minSpeedup: 0.9 }, { ...SAMPLE_CHECK, latency: [noisy] })[0]?.passed,
    ).toBe(true);
  });

  it('judges an output by the worse of all elements together and the mean row, and names it', () => {
    const [logits] = SAMPLE_CHECK.accuracy!.outputs;
    const hidden = {
      ...logits!,
      name: 'hidden',
      cosine: 0.99965,
      sqnrDb: 31.3,
      rows: { ...logits!.rows!, cosine: { mean: 0.21, p1: 0, worst: -0.1 } },
    };
    const accuracy = { ...SAMPLE_CHECK.accuracy!, outputs: [logits!, hidden] };
    const [result] = evaluateGates({ minCosine: 0.999 }, { ...SAMPLE_CHECK, accuracy });
    expect(result).toMatchObject({ passed: false, value: 0.21 });
    expect(result?.text).toBe(
      'minCosine: the lowest cosine of an output is 0.21 (expected >= 0.999, hidden).',
    );
    // And the other way round: one lost row that is loud.
    const loud = { ...logits!, cosine: 0.6, sqnrDb: 2 };
    const other = { ...SAMPLE_CHECK, accuracy: { ...accuracy, outputs: [loud] } };
    expect(
      evaluateGates({ minCosine: 0.999, minSqnr: 10 }, other).map(({ value }) => value),
    ).toEqual([0.6, 2]);
  });

  it('takes equal outputs for 150 dB, and leaves empty outputs out', () => {
    const [logits] = SAMPLE_CHECK.accuracy!.outputs;
    const equal = { ...logits!, cosine: 1, sqnrDb: null, maxAbsError: 0, rows: null };
    const empty = { ...equal, elements: 0, cosine: null, maxAbsError: null };
    const accuracy = { ...SAMPLE_CHECK.accuracy!, outputs: [empty, equal] };
    const gates = { minCosine: 1, minSqnr: 150, minRowCosine: 1, minRowSqnr: 150 };
    const results = evaluateGates(gates, { ...SAMPLE_CHECK, accuracy });
    expect(results.map(({ passed, value }) => [passed, value])).toEqual([
      [true, 1],
      [true, 150],
      [true, 1],
      [true, 150],
    ]);
    const nothing = { ...accuracy, outputs: [empty] };
    expect(evaluateGates({ minCosine: 0 }, { ...SAMPLE_CHECK, accuracy: nothing })[0]?.text).toBe(
      'minCosine: the lowest cosine of an output was not measured, the outputs are empty (expected >= 0).',
    );
  });

  it('judges the slowest scenario and the worst output', () => {
    const [entry] = SAMPLE_CHECK.latency;
    const latency = [entry!, { ...entry!, scenario: 'decode', speedup: 1.3 }];
    const [result] = evaluateGates({ minSpeedup: 2 }, { ...SAMPLE_CHECK, latency });
    expect(result?.value).toBe(1.3);
    expect(result?.text).toContain('decode');
  });
});

describe('GATES_SCHEMA', () => {
  it.each([
    [{ maxTop1Drop: 0.5 }],
    [{ maxTop1Drop: '0.5' }],
    [{ maxTop1Drop: '-1pt' }],
    [{ minAgreement: 99 }],
    [{ minAgreement: '101%' }],
    [{ minCosine: 1.1 }],
    [{ maxSizeRatio: 0 }],
    [{ minSpeedup: Number.NaN }],
    [{ maxPerplexity: 1 }],
  ])('refuses %j', (gates) => {
    expect(GATES_SCHEMA.safeParse(gates).success).toBe(false);
  });

  it('takes every gate', () => {
    expect(GATES_SCHEMA.parse(MET)).toEqual(MET);
    expect(GATES_SCHEMA.parse(MISSED)).toEqual(MISSED);
  });
});

describe('parseGates', () => {
  it('reads options of the command line', () => {
    expect(parseGates(['maxTop1Drop=0.5pt', 'minSpeedup=1.5', 'minAgreement=99%'])).toEqual({
      maxTop1Drop: '0.5pt',
      minSpeedup: 1.5,
      minAgreement: '99%',
    });
    expect(parseGates([])).toEqual({});
  });

  it('names an unknown gate and those there are', () => {
    expect(() => parseGates(['maxDrop=1'])).toThrow(
      '--gate maxDrop=1: is no gate (got "maxDrop", expected <name>=<limit> with one of maxTop1Drop, ' +
        'maxPerplexityRatio, maxKl, maxWorstDomainKl, maxKlP999, minAgreement, minCosine, minSqnr, minRowCosine, ' +
        'minRowSqnr, minSpeedup, minFused, maxSizeRatio, maxPeakMemoryRatio, maxUnsafePairs).',
    );
  });

  it('refuses a drop without a unit', () => {
    expect(() => parseGates(['maxTop1Drop=0.5'])).toThrow(UsageError);
    expect(() => parseGates(['maxTop1Drop=0.5'])).toThrow(
      '--gate maxTop1Drop: not a number of points (got 0.5, such as 0.5pt).',
    );
  });
});
