/**
 * INT8 against FP32 linear layers in onnxruntime, made by autoglm's own w8a8 recipe, in turns in
 * one process. Acceptance on a CPU with INT8 products: at least 2.5x at 128 rows.
 */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  INTERLEAVED_SESSION_CONFIG,
  measureLatency,
  timeSessions,
} from '../../src/check/latency.ts';
import type { Model } from '../../src/ir/model.ts';
import { inlineTensor } from '../../src/ir/tensor.ts';
import { createRandom } from '../../src/numerics/random.ts';
import { planQuantization } from '../../src/quantize/plan.ts';
import { builtInRecipe } from '../../src/recipe/load.ts';
import { formatInterval, formatMilliseconds, formatRatio } from '../../src/report/format.ts';
import { openSessions } from '../../src/runners/onnxruntime/onnxruntime-runner.ts';
import { openModel, saveModel } from '../../src/storage/model-file.ts';
import { applyQuantization } from '../../src/targets/onnx/apply.ts';
import { auditFusion } from '../../src/targets/onnx/audit-fusion.ts';
import type { Feeds } from '../../src/values/tensor-value.ts';
import { node, tinyModel, value } from '../check/tiny-models.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';
import { describeMachine, hasInt8Products } from './machine.ts';

const ROWS = 128;
const LEAST_SPEEDUP = 2.5;
/** p90 / p50 above which neighbours decide the figures. */
const QUIET = 1.35;

it.each([
  [1024, 4096],
  [4096, 13696],
])('w8a8 against float32, %i x %i', async (inFeatures, outFeatures) => {
  const folder = temporaryFolder();
  const float = linearModel(inFeatures, outFeatures);
  const ranges = new Map([['x', { min: -1, max: 1, calibrator: 'minmax' } as const]]);
  // The only layer of a model is its head, which the recipe would leave weight-only.
  const recipe = { ...builtInRecipe('w8a8'), head: 'w8a8' } as const;
  const plan = planQuantization(float, recipe, ranges);
  const paths = { float: join(folder, 'float.onnx'), int8: join(folder, 'int8.onnx') };
  await saveModel(float, paths.float);
  await saveModel(applyQuantization(float, plan), paths.int8);

  const optimizedModelPath = join(folder, 'optimized.onnx');
  const options = { device: 'cpu', config: INTERLEAVED_SESSION_CONFIG } as const;
  const shared = await openSessions([
    { path: paths.float, options },
    { path: paths.int8, options: { ...options, optimizedModelPath } },
  ]);
  const data = uniform(ROWS * inFeatures, 2);
  const feeds: Feeds = new Map([
    ['x', { dataType: 'float32', dims: [1, ROWS, inFeatures], data } as const],
  ]);
  const latency = await measureLatency(
    timeSessions(shared, { baseline: feeds, artifact: feeds }),
    { name: `${inFeatures} x ${outFeatures}`, baseline: 'float32', device: 'cpu' },
    { seed: 1, pairs: 60, secondsPerSide: 0.5, budgetSeconds: 40 },
  );
  await shared.close();
  const audit = auditFusion(await openModel(optimizedModelPath), plan);

  console.log(
    [
      '',
      describeMachine(),
      `linear ${inFeatures} x ${outFeatures}, ${ROWS} rows, ${latency.pairs} pairs in turns; ` +
        `ran as ${Object.keys(audit.kernels).join(', ') || 'float'}`,
      row('', ['p50 ms', 'p90 ms', 'min ms', 'CV']),
      row('float32', cells(latency.baselineTimes)),
      row('int8', cells(latency.artifactTimes)),
      `speedup ${formatRatio(latency.speedup)} ${formatInterval(latency.speedupInterval)} (95 %): ${latency.verdict}`,
    ].join('\n'),
  );
  expect(audit.fused).toBe(1);
  // A miss has to be proven: by the whole interval, on a machine that does nothing else.
  const { p50Milliseconds, p90Milliseconds } = latency.baselineTimes;
  const isQuiet = p90Milliseconds < QUIET * p50Milliseconds;
  if (!hasInt8Products() || !isQuiet) {
    console.log(`not judged against ${LEAST_SPEEDUP}x: ${isQuiet ? 'no INT8 products' : 'busy'}`);
    return;
  }
  expect(latency.speedupInterval.high).toBeGreaterThan(LEAST_SPEEDUP);
});

function linearModel(inFeatures: number, outFeatures: number): Model {
  const weights = uniform(inFeatures * outFeatures, 1);
  const bytes = new Uint8Array(weights.buffer);
  return tinyModel({
    nodes: [node('MatMul', ['x', 'weight'], 'y')],
    inputs: [value('x', 'float32', [1, 'rows', inFeatures])],
    outputs: [value('y', 'float32', [1, 'rows', outFeatures])],
    initializers: [inlineTensor('weight', 'float32', [inFeatures, outFeatures], bytes)],
  });
}

function uniform(count: number, seed: number): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length: count }, () => 2 * random.uniform() - 1);
}

function cells(times: {
  readonly p50Milliseconds: number;
  readonly p90Milliseconds: number;
  readonly minMilliseconds: number;
  readonly coefficientOfVariation: number;
}): readonly string[] {
  return [
    formatMilliseconds(times.p50Milliseconds),
    formatMilliseconds(times.p90Milliseconds),
    formatMilliseconds(times.minMilliseconds),
    `${(100 * times.coefficientOfVariation).toFixed(1)} %`,
  ];
}

function row(name: string, values: readonly string[]): string {
  return name.padEnd(12) + values.map((text) => text.padStart(10)).join('');
}
