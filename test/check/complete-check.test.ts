import { describe, expect, it } from 'vitest';
import type { OutputSimilarity } from '../../src/check/check-result.ts';
import { checkResultJsonSchema, parseCheckResult } from '../../src/check/check-result-schema.ts';
import { type CheckMeasurements, completeCheck } from '../../src/check/complete-check.ts';
import type { KernelTimes } from '../../src/check/kernel-times.ts';
import { compareSizes } from '../../src/check/sizes.ts';
import { SAMPLE_CHECK } from '../report/sample-check.ts';

const { gates: _, passed: __, schema: ___, warnings: ____, ...MEASURED } = SAMPLE_CHECK;

describe('completeCheck', () => {
  it('gives equal bytes for equal measurements, whatever order their keys came in', () => {
    const reversed = reverseKeys(MEASURED) as CheckMeasurements;
    const gates = { maxSizeRatio: 0.6 };
    expect(JSON.stringify(completeCheck(reversed, gates))).toBe(
      JSON.stringify(completeCheck(MEASURED, gates)),
    );
  });

  it('passes without gates, and fails with the first that fails', () => {
    expect(completeCheck(MEASURED, {}).passed).toBe(true);
    expect(completeCheck(MEASURED, { maxSizeRatio: 0.6, minSpeedup: 3 }).passed).toBe(false);
  });

  it('warns of unfused layers, fallbacks, noise and values that are not finite', () => {
    const [entry] = MEASURED.latency;
    const [output] = MEASURED.accuracy!.outputs;
    const noisy = { ...entry!.baselineTimes, p90Milliseconds: 6, steady: false };
    const { warnings } = completeCheck(
      {
        ...MEASURED,
        data: { ...MEASURED.data!, representative: false },
        accuracy: { ...MEASURED.accuracy!, outputs: [{ ...output!, nonFiniteMismatches: 3 }] },
        latency: [{ ...entry!, baselineTimes: noisy }],
        fallbackNodes: [{ node: 'n', opType: 'TopK', device: 'cpu' }],
      },
      {},
    );
    expect(warnings.map((warning) => warning.split(':')[0])).toEqual([
      'data',
      'output logits',
      'latency prefill 128',
      'latency prefill 128',
      'fusion',
      'device',
    ]);
  });

  it('warns of an output whose typical row is lost, by the row when loud rows hide it', () => {
    const [output] = MEASURED.accuracy!.outputs;
    const lost = { mean: 0.1, p1: 0, worst: -0.4 };
    const hidden = {
      ...output!,
      name: 'hidden',
      sqnrDb: 31.3,
      rows: { ...output!.rows!, sqnrDb: lost },
    };
    const poor = { ...output!, name: 'poor', sqnrDb: 6.7, rows: null };
    const warningsOf = (outputs: readonly OutputSimilarity[]): readonly string[] =>
      completeCheck({ ...MEASURED, fusion: null, accuracy: { ...MEASURED.accuracy!, outputs } }, {})
        .warnings;
    expect(warningsOf([output!, hidden, poor])).toEqual([
      'output hidden: its SQNR is poor, a few loud rows hide it: 31.3 dB of all elements together, ' +
        '0.1 dB of the mean row (below 10 dB: 2 outputs). Keep the layers that lose it out of ' +
        'the recipe: weight-only (recipe w8a16) or float.',
    ]);
    expect(warningsOf([poor])[0]).toContain(
      'its SQNR is poor, 6.7 dB, where 20 and more are usual',
    );
    expect(warningsOf([output!])).toEqual([]);
  });

  it('says that weight-only kernels make a slow artifact slow, and nothing of a fast one', () => {
    const [entry] = MEASURED.latency;
    const times = MEASURED.kernelTimes!;
    const weightOnly = { kind: 'MatMulNBits', callsPerRun: 13, milliseconds: 0.9, share: 0.62 };
    const kernelTimes = { ...times, artifact: { ...times.artifact, kinds: [weightOnly] } };
    const warningsOf = (
      verdict: 'faster' | 'slower',
      own: KernelTimes = kernelTimes,
    ): readonly string[] =>
      completeCheck(
        { ...MEASURED, fusion: null, latency: [{ ...entry!, verdict }], kernelTimes: own },
        {},
      ).warnings;
    expect(warningsOf('slower')).toEqual([
      "latency prefill 128: slower, and 62 % of the artifact's kernel time is MatMulNBits, of weight-only " +
        'layers: from some 16 rows on it is no faster than float on processors without VNNI. INT8 ' +
        'activations are (recipes w8a8, w8a8-full, w8a8-dynamic).',
    ]);
    expect(warningsOf('faster')).toEqual([]);
    expect(warningsOf('slower', times)).toEqual([]);
  });

  it('refuses a figure that is not finite instead of writing null', () => {
    const sizes = { ...MEASURED.sizes, ratio: Number.NaN };
    expect(() => completeCheck({ ...MEASURED, sizes }, {})).toThrow();
  });
});

describe('parseCheckResult', () => {
  it('names the file and the key that is wrong', () => {
    const text = JSON.stringify({ ...SAMPLE_CHECK, schema: 'autoglm.check/9' });
    expect(() => parseCheckResult(text, 'out/check.json')).toThrow(
      /^out\/check\.json: is not a check of this version, autoglm\.check\/1 \(schema: .*\)\. Run "autoglm check" again\.$/,
    );
    expect(() => parseCheckResult('{', 'out/check.json')).toThrow(
      'out/check.json: is not JSON. Run "autoglm check" again.',
    );
  });
});

describe('a check of before rows were compared', () => {
  it('is read, with null for what it did not measure', () => {
    const old = JSON.parse(JSON.stringify(SAMPLE_CHECK));
    delete old.accuracy.outputs[0].rows;
    delete old.accuracy.languageModel.klP999Nats;
    const { accuracy } = parseCheckResult(JSON.stringify(old), 'check.json');
    expect(accuracy?.outputs[0]?.rows).toBeNull();
    expect(accuracy?.languageModel?.klP999Nats).toBeNull();
  });
});

describe('checkResultJsonSchema', () => {
  it('requires every field and allows no other', () => {
    const schema = checkResultJsonSchema();
    expect(schema['required']).toEqual(Object.keys(SAMPLE_CHECK));
    expect(schema['additionalProperties']).toBe(false);
  });
});

describe('compareSizes', () => {
  it('counts all files of each model, and bits over the weights of the source', () => {
    const sizes = compareSizes(
      {
        files: [
          { file: 'model.onnx_data', byteLength: 1900 },
          { file: 'model.onnx', byteLength: 100 },
        ],
        parameters: 1000,
        peakMemoryBytes: 5000,
      },
      {
        files: [{ file: 'model.onnx', byteLength: 1100 }],
        parameters: 1000,
        peakMemoryBytes: null,
      },
    );
    expect(sizes.source.byteLength).toBe(2000);
    expect(sizes.source.files[0]?.file).toBe('model.onnx');
    expect(sizes.source.bitsPerWeight).toBe(16);
    expect(sizes.artifact.bitsPerWeight).toBe(8.8);
    expect(sizes.ratio).toBe(0.55);
    expect(sizes.peakMemoryRatio).toBeNull();
  });
});

function reverseKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reverseKeys);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, entry]) => [key, reverseKeys(entry)]),
  );
}
