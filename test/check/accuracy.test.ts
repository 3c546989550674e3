import { describe, expect, it } from 'vitest';
import { makeFeeds } from '../../src/calibrate/make-feeds.ts';
import type { Sample } from '../../src/calibrate/sample.ts';
import { compareAccuracy, type PairedSample } from '../../src/check/accuracy.ts';
import type { Accuracy } from '../../src/check/check-result.ts';
import { evaluateGates } from '../../src/check/gates.ts';
import { RunRefusedError, UsageError } from '../../src/errors.ts';
import type { Model } from '../../src/ir/model.ts';
import { createRandom } from '../../src/numerics/random.ts';
import { onnxruntimeRunner } from '../../src/runners/onnxruntime/onnxruntime-runner.ts';
import type { Session } from '../../src/runners/runner.ts';
import type { Feeds } from '../../src/values/tensor-value.ts';
import {
  classifier,
  languageModel,
  normals,
  quantizedLanguageModel,
  saveTiny,
  tinyModel,
} from './tiny-models.ts';

async function compare(
  sourceModel: Model,
  artifactModel: Model,
  samples: readonly Sample[],
): Promise<Accuracy> {
  const open = async (model: Model): Promise<Session> =>
    onnxruntimeRunner.load(await saveTiny(model), { device: 'cpu' });
  const [source, artifact] = await Promise.all([open(sourceModel), open(artifactModel)]);
  async function* pairs(): AsyncGenerator<PairedSample> {
    for (const sample of samples) {
      yield {
        sample,
        source: makeFeeds(source.inputs, sample),
        artifact: makeFeeds(artifact.inputs, sample),
      };
    }
  }
  try {
    return await compareAccuracy({ source, artifact, samples: pairs() });
  } finally {
    await Promise.all([source.close(), artifact.close()]);
  }
}

function texts(count: number, length = 24): readonly Sample[] {
  const random = createRandom(11);
  return Array.from({ length: count }, (_, index) => {
    const data = BigInt64Array.from({ length }, () => BigInt(random.integer(32)));
    return { index, values: new Map([['input_ids', { dataType: 'int64', dims: [length], data }]]) };
  });
}

function vectors(count: number, label: (index: number) => number): readonly Sample[] {
  return Array.from({ length: count }, (_, index) => ({
    index,
    label: label(index),
    values: new Map([
      ['x', { dataType: 'float32', dims: [8], data: normals(8, 100 + index) } as const],
    ]),
  }));
}

const NO_SIZES = {
  source: { files: [], byteLength: 0, parameters: 0, bitsPerWeight: 0, peakMemoryBytes: null },
  artifact: { files: [], byteLength: 0, parameters: 0, bitsPerWeight: 0, peakMemoryBytes: null },
  ratio: 1,
  peakMemoryRatio: null,
};

describe('compareAccuracy of language models in onnxruntime', () => {
  it('finds a model equal to itself: cosine 1, agreement 1, KL 0, perplexity ratio 1', async () => {
    const accuracy = await compare(languageModel(), languageModel(), texts(4));
    expect(accuracy.samples).toBe(4);
    expect(accuracy.outputs).toEqual([
      {
        name: 'logits',
        elements: 4 * 24 * 32,
        cosine: 1,
        worstSampleCosine: 1,
        sqnrDb: null,
        rows: {
          count: 4 * 24,
          silent: 0,
          cosine: { mean: 1, p1: 1, worst: 1 },
          sqnrDb: { mean: 150, p1: 150, worst: 150 },
        },
        maxAbsError: 0,
        nonFiniteMismatches: 0,
      },
    ]);
    const { perplexity, top1, ...rest } = accuracy.languageModel!;
    expect(rest).toEqual({
      output: 'logits',
      positions: 96,
      predictedTokens: 92,
      klNats: 0,
      klP999Nats: 0,
      klWorstNats: 0,
      agreement: 1,
    });
    expect(perplexity?.ratio).toBe(1);
    expect(perplexity?.ratioInterval).toEqual({ low: 1, high: 1 });
    expect(top1?.dropPoints).toBe(0);
    expect(accuracy.classification).toBeNull();
  });

  it('compares float16 logits of the source with float32 logits of the artifact', async () => {
    const source = languageModel({ dataType: 'float16' });
    const accuracy = await compare(source, languageModel(), texts(2));
    const [logits] = accuracy.outputs;
    // float16 keeps 11 bits: the error of a rounded value is at most 2^-11 of it, some 66 dB.
    expect(logits?.sqnrDb).toBeGreaterThan(60);
    expect(logits?.sqnrDb).toBeLessThan(80);
    expect(accuracy.languageModel?.agreement).toBeGreaterThan(0.97);
  });

  it('gives perplexity as the mean likelihood of next tokens, computed independently', async () => {
    const samples = texts(1, 6);
    const { languageModel: figures } = await compare(languageModel(), languageModel(), samples);
    // The model has no context, so its logits are rows of embedding @ head.
    const embedding = normals(32 * 16, 1);
    const head = normals(16 * 32, 2, 0.5);
    const ids = Array.from(samples[0]!.values.get('input_ids')!.data, Number);
    let total = 0;
    for (let position = 0; position + 1 < ids.length; position++) {
      const logits = Array.from({ length: 32 }, (_, token) => {
        let sum = 0;
        for (let k = 0; k < 16; k++)
          sum += embedding[ids[position]! * 16 + k]! * head[k * 32 + token]!;
        return sum;
      });
      const normal = Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
      total += normal - logits[ids[position + 1]!]!;
    }
    // float32 products against float64 ones: relative 1e-6.
    expect(figures?.perplexity?.source).toBeCloseTo(Math.exp(total / 5), 4);
  });

  it('passes honest INT8 weights and fails a sabotaged scale at the same gates', async () => {
    const gates = {
      maxKl: 0.01,
      maxKlP999: 0.1,
      minAgreement: '95%',
      minCosine: 0.999,
      minRowSqnr: 20,
      maxPerplexityRatio: 1.02,
    };
    const judge = async (artifact: Model): Promise<readonly string[]> => {
      const accuracy = await compare(languageModel(), artifact, texts(4));
      return evaluateGates(gates, {
        accuracy,
        latency: [],
        sizes: NO_SIZES,
        saturation: null,
        fusion: null,
      })
        .filter(({ passed }) => !passed)
        .map(({ gate }) => gate);
    };
    expect(await judge(quantizedLanguageModel())).toEqual([]);
    expect(await judge(quantizedLanguageModel(20))).toEqual([
      'maxPerplexityRatio',
      'maxKl',
      'maxKlP999',
      'minAgreement',
      'minCosine',
      'minRowSqnr',
    ]);
  });

  it('refuses a token that the model does not know, naming the sample', async () => {
    const data = BigInt64Array.of(1n, 2n, 31n, -1n);
    const sample: Sample = {
      index: 0,
      values: new Map([['input_ids', { dataType: 'int64', dims: [4], data }]]),
    };
    // ONNX counts -1 from the end, so the runtime does not mind.
    await expect(compare(languageModel(), languageModel(), [sample])).rejects.toThrow(
      "sample 0: token 3: is not in the model's vocabulary (got -1, expected 0..31). " +
        'Use the tokenizer that belongs to the model.',
    );
  });

  it('blames the data where the source refuses a sample, and never where the artifact alone does', async () => {
    const [whole] = texts(1);
    const open = async (): Promise<Session> =>
      onnxruntimeRunner.load(await saveTiny(languageModel()), { device: 'cpu' });
    const [source, artifact] = await Promise.all([open(), open()]);
    const refused = (pair: PairedSample) => {
      async function* samples(): AsyncGenerator<PairedSample> {
        yield pair;
      }
      return compareAccuracy({ source, artifact, name: 'my/model.onnx', samples: samples() });
    };
    const fed = (tokens: number): Feeds => {
      const ids = whole!.values.get('input_ids')!;
      // A token without a row in the table of 32.
      const data = BigInt64Array.from({ length: 24 }, () => BigInt(tokens));
      return new Map([['input_ids', { ...ids, dims: [1, 24], data }]]);
    };
    const badSource = refused({ sample: whole!, source: fed(99), artifact: fed(1) });
    await expect(badSource).rejects.toThrow(UsageError);
    await expect(badSource).rejects.toThrow(/^my\/model\.onnx: does not take sample 0 of the data/);
    const badArtifact = refused({ sample: whole!, source: fed(1), artifact: fed(99) });
    await expect(badArtifact).rejects.toThrow(RunRefusedError);
    await Promise.all([source.close(), artifact.close()]);
  });

  it('refuses an empty data set', async () => {
    await expect(compare(languageModel(), languageModel(), [])).rejects.toThrow(UsageError);
  });
});

describe('compareAccuracy of classifiers in onnxruntime', () => {
  it('measures top-1 by the labels, with an interval of the drop', async () => {
    const weights = normals(32, 3);
    const best = (index: number): number => {
      const x = normals(8, 100 + index);
      const scores = [0, 1, 2, 3].map((c) =>
        x.reduce((sum, v, k) => sum + v * weights[k * 4 + c]!, 0),
      );
      return scores.indexOf(Math.max(...scores));
    };
    // The label is the source's answer, but for every fourth sample; the artifact answers the opposite.
    const samples = vectors(40, (index) => (index % 4 === 0 ? (best(index) + 1) % 4 : best(index)));
    const { classification } = await compare(classifier(), classifier(-1), samples);
    expect(classification?.rows).toBe(40);
    expect(classification?.output).toBe('scores');
    expect(classification?.agreement).toBe(0);
    expect(classification?.top1?.source).toBe(0.75);
    expect(classification?.top1?.dropPoints).toBeGreaterThan(50);
    expect(classification?.top1?.dropPointsInterval?.low).toBeGreaterThan(30);
    expect(classification?.top1?.dropPointsInterval?.high).toBeLessThanOrEqual(100);
  });

  it('gives no similarity when the artifact returns NaN, so its gates fail', async () => {
    const accuracy = await compare(
      classifier(),
      classifier(Number.NaN),
      vectors(3, () => 0),
    );
    expect(accuracy.outputs[0]).toMatchObject({ cosine: null, nonFiniteMismatches: 12 });
    expect(accuracy.classification?.klNats).toBeNull();
    const results = evaluateGates(
      { minCosine: 0.9, maxKl: 1 },
      { accuracy, latency: [], sizes: NO_SIZES, saturation: null, fusion: null },
    );
    expect(results.map(({ passed, measured }) => [passed, measured])).toEqual([
      [false, 'not measured'],
      [false, 'not measured'],
    ]);
  });

  it('refuses models that share no output, with both lists', async () => {
    const { graph } = classifier();
    const renamed = tinyModel({
      ...graph,
      nodes: graph.nodes.map((only) => ({ ...only, outputs: ['other'] })),
      outputs: graph.outputs.map((only) => ({ ...only, name: 'other' })),
      initializers: [...graph.initializers.values()],
    });
    await expect(
      compare(
        classifier(),
        renamed,
        vectors(1, () => 0),
      ),
    ).rejects.toThrow(
      'check: source and artifact do not share a floating-point output (got other float32[1,4] from the artifact, ' +
        'expected scores float32[1,4] as from the source). Compare an artifact with the model it was made from.',
    );
  });
});
