/**
 * Memory and time of `quantize` on models larger than they should take in memory: 2.5 GB of float32
 * weights with 8 and 32 samples, and with AUTOGLM_BENCH_9B=1 the shape of GLM-4-9B (18.8 GB, holes
 * on disk but for the first and last layer; 9.4 GB written), or with AUTOGLM_BENCH_9B=all the same with
 * numbers everywhere. Linux only: memory is read from /proc, all processes together.
 */
import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it, vi } from 'vitest';
import { root } from '../kit/paths.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';
import { GLM_9B } from '../models/glm-decoder.ts';
import { TWELVE_BLOCKS, writeRandomDecoder } from '../models/write-random-decoder.ts';
import { writeSparseDecoder } from '../models/write-sparse-decoder.ts';
import { compareEnds } from './compare-ends.ts';
import { describeMachine } from './machine.ts';
import { measureProcessTree } from './measure-process-tree.ts';

vi.setConfig({ testTimeout: 3_600_000 });

async function quantize(
  model: string,
  output: string,
  samples: number,
  length: number,
): Promise<{ readonly seconds: number; readonly megabytes: number }> {
  const data = ['--data', join(root, 'calibration/text'), '--samples', String(samples)];
  const args = ['quantize', model, ...data, '--sequence-length', String(length), '-o', output];
  const found = await measureProcessTree(process.execPath, [join(root, 'bin/autoglm.js'), ...args]);
  expect(found.exitCode, found.stderr).toBe(0);
  const megabytes = Math.round(found.peakRssBytes / 1e6);
  console.log(
    `${samples} x ${length} tokens: ${found.seconds.toFixed(0)} s, peak RSS ${megabytes} MB`,
  );
  return { seconds: found.seconds, megabytes };
}

it.runIf(process.platform === 'linux')('2.5 GB of float32 weights, w8a8', async () => {
  console.log(`2.5 GB, 12 blocks, w8a8, on ${describeMachine()}`);
  const folder = temporaryFolder();
  const model = await writeRandomDecoder(folder, TWELVE_BLOCKS, 'float32');
  const few = await quantize(model, join(folder, 'few'), 8, 256);
  const many = await quantize(model, join(folder, 'many'), 32, 256);
  expect(few.megabytes).toBeLessThan(900);
  expect(many.megabytes / few.megabytes).toBeLessThan(1.1);
});

const choice9B = process.env['AUTOGLM_BENCH_9B'] ?? '';

it.runIf(choice9B === '1' || choice9B === 'all')('the shape of GLM-4-9B, w8a8', async () => {
  console.log(`18.8 GB of float16 weights, 40 blocks, w8a8, on ${describeMachine()}`);
  const folder = temporaryFolder();
  const { path } = await writeSparseDecoder(folder, GLM_9B, choice9B === 'all' ? 'all' : 'ends');
  const output = join(folder, 'out');
  const { megabytes } = await quantize(path, output, 1, 128);
  expect(megabytes).toBeLessThan(3000);
  // Read again by the command that reads what strangers made.
  execFileSync(process.execPath, [join(root, 'bin/autoglm.js'), 'inspect', output, '--quiet']);
  const data = join(root, 'calibration/text');
  const layers = await compareEnds(path, output, { data, sequenceLength: 128 });
  for (const { name, cosine, sqnr } of layers) {
    console.log(`${name}: cosine ${cosine.toFixed(5)}, SQNR ${sqnr.toFixed(1)} dB`);
    // Eight bits over the whole range of a normal value leave 35 to 40 dB, and four quantized products
    // in a row some less; a scale that belongs to another tensor leaves none.
    expect(sqnr).toBeGreaterThan(25);
  }
  rmSync(output, { recursive: true });
});
