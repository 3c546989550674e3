import type { CheckResult, LatencySummary } from '../../src/check/check-result.ts';

function times(p50: number): LatencySummary {
  return {
    runs: 237,
    firstMilliseconds: 3 * p50,
    warmUpRuns: 31,
    steady: true,
    minMilliseconds: 0.95 * p50,
    meanMilliseconds: 1.02 * p50,
    p50Milliseconds: p50,
    p90Milliseconds: 1.1 * p50,
    p99Milliseconds: 1.3 * p50,
    maxMilliseconds: 1.5 * p50,
    coefficientOfVariation: 0.031,
  };
}

/** A check of a language model with every part filled in; the figures are made up. */
export const SAMPLE_CHECK: CheckResult = {
  schema: 'autoglm.check/1',
  source: { file: 'glm-nano.onnx', sha256: 'a'.repeat(64), label: 'float16 source' },
  artifact: { file: 'model.onnx', sha256: 'b'.repeat(64), label: 'w8a8' },
  device: {
    id: 'cpu',
    requested: 'auto',
    name: 'AMD EPYC 9R14',
    reference: 'cpu, float16 through casts to float32',
    notUsed: [{ device: 'cuda', reason: 'no NVIDIA driver: libcuda.so.1 is not on this machine' }],
  },
  runtime: {
    autoglm: '0.1.0',
    node: '20.20.2',
    runner: 'onnxruntime 1.30.0',
    platform: 'linux x64',
    cpu: 'AMD EPYC 9R14',
    instructionSets: ['avx2', 'avx512_vnni'],
    saturatesPairs: false,
    threads: 2,
  },
  data: { name: 'calibration/text', sha256: 'c'.repeat(64), samples: 8, representative: true },
  accuracy: {
    samples: 8,
    outputs: [
      {
        name: 'logits',
        elements: 524_288,
        cosine: 0.999812,
        worstSampleCosine: 0.999412,
        sqnrDb: 34.21,
        rows: {
          count: 2048,
          silent: 0,
          cosine: { mean: 0.999731, p1: 0.998905, worst: 0.997213 },
          sqnrDb: { mean: 33.42, p1: 27.13, worst: 22.51 },
        },
        maxAbsError: 0.4312,
        nonFiniteMismatches: 0,
      },
    ],
    languageModel: {
      output: 'logits',
      positions: 2048,
      predictedTokens: 2040,
      klNats: 0.001243,
      klP999Nats: 0.02134,
      klWorstNats: 0.04012,
      agreement: 0.98926,
      perplexity: {
        source: 5.21341,
        artifact: 5.22104,
        ratio: 1.001464,
        ratioInterval: { low: 1.0003, high: 1.0027 },
      },
      top1: {
        source: 0.6124,
        artifact: 0.611,
        dropPoints: 0.14,
        dropPointsInterval: { low: -0.02, high: 0.3 },
      },
    },
    classification: null,
    domains: [
      {
        domain: 'python',
        samples: 8,
        positions: 2040,
        klNats: 0.0112,
        klP999Nats: 0.31,
        klWorstNats: 0.4,
        agreement: 0.934,
        perplexityRatio: 1.0041,
      },
    ],
  },
  latency: [
    {
      scenario: 'prefill 128',
      baseline: 'float32 twin',
      device: 'cpu',
      pairs: 237,
      baselineTimes: times(4.2),
      artifactTimes: times(1.55),
      speedup: 2.7097,
      speedupInterval: { low: 2.63, high: 2.801 },
      verdict: 'faster',
      itemsPerRun: { count: 128, unit: 'tokens' },
    },
  ],
  kernelTimes: {
    scenario: 'prefill 128',
    baselineLabel: 'float32 twin',
    baseline: {
      milliseconds: 4,
      kinds: [
        { kind: 'MatMul, Gemm (float)', callsPerRun: 49, milliseconds: 3.2, share: 0.8 },
        { kind: 'other', callsPerRun: 210, milliseconds: 0.8, share: 0.2 },
      ],
    },
    artifact: {
      milliseconds: 1.5,
      kinds: [
        { kind: 'MatMulIntegerToFloat', callsPerRun: 36, milliseconds: 0.9, share: 0.6 },
        { kind: 'other', callsPerRun: 246, milliseconds: 0.45, share: 0.3 },
        { kind: 'MatMul, Gemm (float)', callsPerRun: 13, milliseconds: 0.15, share: 0.1 },
      ],
    },
  },
  sizes: {
    source: {
      files: [{ file: 'glm-nano.onnx', byteLength: 3_812_345 }],
      byteLength: 3_812_345,
      parameters: 1_900_000,
      bitsPerWeight: 16.0519789,
      peakMemoryBytes: 120_000_000,
    },
    artifact: {
      files: [{ file: 'model.onnx', byteLength: 2_020_543 }],
      byteLength: 2_020_543,
      parameters: 1_900_000,
      bitsPerWeight: 8.5075494,
      peakMemoryBytes: 110_000_000,
    },
    ratio: 0.53,
    peakMemoryRatio: 0.9167,
  },
  fusion: {
    planned: 12,
    fused: 11,
    kernels: { MatMulIntegerToFloat: 11 },
    unfused: [
      {
        layer: 'model.layers.0.mlp.down_proj',
        node: '/model/layers.0/mlp/down_proj/MatMul',
        form: 'MatMulIntegerToFloat',
        ranAs: 'MatMul',
        reason: 'ran as a float MatMul: the weight is widened in every run',
      },
    ],
    takenBack: [],
  },
  saturation: {
    products: 12,
    worstPair: 131,
    pairs: 98_304,
    unsafePairs: 6,
    unsafeLayers: [{ node: '/layers.0/mlp/up/MatMul', worstPair: 131, unsafePairs: 6 }],
    notScanned: [],
  },
  ranges: {
    samples: 2,
    activations: [{ layer: 'layers.0.mlp.gate_up_proj', share: 0.031, worstRatio: 2.4 }],
    domains: [
      {
        domain: 'python',
        share: 0.021,
        activationsBeyond: 9,
        worstRatio: 2.4,
        worstLayer: 'layers.0.mlp.gate_up_proj',
      },
    ],
  },
  fallbackNodes: [],
  gates: [
    {
      gate: 'maxTop1Drop',
      limit: '<= 0.5pt',
      measured: '0.14pt',
      value: 0.14,
      passed: true,
      text: 'maxTop1Drop: the loss of top-1 is 0.14pt (expected <= 0.5pt).',
    },
    {
      gate: 'minSpeedup',
      limit: '>= 3x',
      measured: '2.7097x',
      value: 2.7097,
      passed: false,
      text: 'minSpeedup: the speedup is 2.7097x (expected >= 3x, prefill 128).',
    },
  ],
  notVerified: ['tensorrt: no GPU on this machine'],
  warnings: ['fusion: 1 of 12 planned layers run in float: model.layers.0.mlp.down_proj.'],
  passed: false,
};

/** The same check with text that breaks careless markup in every place where a file can put it. */
export const HOSTILE_CHECK: CheckResult = {
  ...SAMPLE_CHECK,
  source: { ...SAMPLE_CHECK.source, file: 'a<b>&"\'.onnx' },
  artifact: { ...SAMPLE_CHECK.artifact, file: ']]><script>alert(1)</script>\u0000\u0007|*.onnx' },
  gates: SAMPLE_CHECK.gates.map((gate) => ({ ...gate, text: `${gate.text} <&> "\n\ud800 ]]>` })),
  notVerified: ['x\u000b & <y>'],
};
