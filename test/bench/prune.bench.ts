/**
 * What pruning gains and costs: the time of a feed-forward block of which a fifth is gone, and with
 * AUTOGLM_BENCH_9B=1 memory and time of cutting the shape of GLM-4-9B (18.8 GB of holes; 17 GB written), beside
 * `cp` of what was written. Linux only: memory is read from /proc.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import {
  INTERLEAVED_SESSION_CONFIG,
  measureLatency,
  timeSessions,
} from '../../src/check/latency.ts';
import type { Model } from '../../src/ir/model.ts';
import { parsePruning } from '../../src/prune/pruning-file.ts';
import { formatInterval, formatRatio } from '../../src/report/format.ts';
import { openSessions } from '../../src/runners/onnxruntime/onnxruntime-runner.ts';
import { openModel, saveModel } from '../../src/storage/model-file.ts';
import type { Feeds } from '../../src/values/tensor-value.ts';
import { prune } from '../../src/workflows/prune.ts';
import { floats, model, node, noise, value } from '../kit/models.ts';
import { root } from '../kit/paths.ts';
import { silent } from '../kit/reporters.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';
import { GLM_9B } from '../models/glm-decoder.ts';
import { writeSparseDecoder } from '../models/write-sparse-decoder.ts';
import { describeMachine } from './machine.ts';
import { measureProcessTree } from './measure-process-tree.ts';

vi.setConfig({ testTimeout: 3_600_000 });

const [ROWS, WIDTH, HIDDEN] = [128, 1024, 4096];
/** Least saving of time for a fifth of the products. */
const LEAST_SAVING = 0.14;
/** p90 / p50 above which neighbours decide the figures. */
const QUIET = 1.35;

it('a fifth of the products takes a seventh of the time or more with it', async () => {
  const folder = temporaryFolder();
  const source = join(folder, 'float.onnx');
  await saveModel(feedForward(), source);
  const output = join(folder, 'pruned');
  await prune(
    { model: source, output, amount: 0.2, exact: true, importance: 'l1', latency: false },
    silent,
  );
  const options = { device: 'cpu', config: INTERLEAVED_SESSION_CONFIG } as const;
  const shared = await openSessions([
    { path: source, options },
    { path: join(output, 'model.onnx'), options },
  ]);
  const data = noise(3, ROWS * WIDTH);
  const feeds: Feeds = new Map([
    ['x', { dataType: 'float32', dims: [ROWS, WIDTH], data } as const],
  ]);
  const latency = await measureLatency(
    timeSessions(shared, { baseline: feeds, artifact: feeds }),
    { name: `${HIDDEN} -> ${HIDDEN * 0.8}`, baseline: 'float32', device: 'cpu' },
    { seed: 1, pairs: 60, secondsPerSide: 0.5, budgetSeconds: 60 },
  );
  await shared.close();
  const saving = 1 - 1 / latency.speedup;
  console.log(
    `\n${describeMachine()}\nfeed-forward block ${WIDTH} x ${HIDDEN} at ${ROWS} rows, 20 % of its products removed: ` +
      `${formatRatio(latency.speedup)} ${formatInterval(latency.speedupInterval)} (95 %), ` +
      `${(100 * saving).toFixed(1)} % less time, ${latency.pairs} pairs in turns`,
  );
  const { p50Milliseconds, p90Milliseconds } = latency.baselineTimes;
  if (p90Milliseconds >= QUIET * p50Milliseconds) {
    console.log(`not judged against ${(100 * LEAST_SAVING).toFixed(0)} %: busy`);
    return;
  }
  expect(latency.speedupInterval.low).toBeGreaterThan(1);
  expect(latency.speedupInterval.high).toBeGreaterThan(1 / (1 - LEAST_SAVING));
});

function feedForward(): Model {
  const weight = (name: string, dims: readonly [number, number], seed: number) =>
    floats(
      name,
      dims,
      noise(seed, dims[0] * dims[1]).map((x) => x / Math.sqrt(dims[0])),
    );
  return model({
    nodes: [
      node('MatMul', ['x', 'up'], 'h'),
      node('Relu', ['h'], 'r'),
      node('MatMul', ['r', 'down'], 'd'),
      node('Add', ['d', 'x'], 'y'),
    ],
    initializers: [weight('up', [WIDTH, HIDDEN], 1), weight('down', [HIDDEN, WIDTH], 2)],
    inputs: [value('x', 'float32', ['n', WIDTH])],
    outputs: [value('y', 'float32', ['n', WIDTH])],
  });
}

const wants9B = process.env['AUTOGLM_BENCH_9B'] !== undefined;

it.runIf(wants9B)('the shape of GLM-4-9B, a tenth by L1', async () => {
  const folder = temporaryFolder();
  const { path, weightByteLength } = await writeSparseDecoder(folder, GLM_9B);
  const output = join(folder, 'out');
  const args = ['prune', path, '--amount', '0.1', '--importance', 'l1', '--verify', 'fast'];
  const found = await measureProcessTree(process.execPath, [
    join(root, 'bin/autoglm.js'),
    ...[...args, '--no-latency', '-o', output],
  ]);
  expect(found.exitCode, found.stderr).toBe(0);
  const plan = parsePruning(readFileSync(join(output, 'pruning.json'), 'utf8'), 'pruning.json');
  const kept = new Set(
    plan.groups.map(({ kind, unitCount, removed }) => `${kind} ${unitCount - removed.length}`),
  );
  const { storage } = await openModel(join(output, 'model.onnx'));
  const written = join(output, storage.files[0] ?? '');
  const gigabytes = (await stat(written)).size / 1e9;
  const start = performance.now();
  execFileSync('cp', ['--sparse=never', written, join(folder, 'copy')]);
  const copySeconds = (performance.now() - start) / 1000;
  console.log(
    `\n${describeMachine()}\n${(weightByteLength / 1e9).toFixed(1)} GB -> ${gigabytes.toFixed(1)} GB (${[...kept].join(', ')}): ` +
      `${found.seconds.toFixed(0)} s, peak RSS ${Math.round(found.peakRssBytes / 1e6)} MB, ` +
      `${Math.round(found.peakAnonymousBytes / 1e6)} MB of it anonymous; ` +
      `${(found.seconds / gigabytes).toFixed(2)} s a GB written, cp ${(copySeconds / gigabytes).toFixed(2)}`,
  );
  rmSync(output, { recursive: true });
  expect(found.peakAnonymousBytes).toBeLessThan(1e9);
});
