import { join } from 'node:path';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import type { Model } from '../../src/ir/model.ts';
import { convertToFloat32 } from '../../src/passes/convert-to-float32.ts';
import { runPasses } from '../../src/passes/pass.ts';
import { applyPruning } from '../../src/prune/apply-pruning.ts';
import { findGroups } from '../../src/prune/find-groups.ts';
import { saveModel } from '../../src/storage/model-file.ts';
import { fixture } from '../kit/run-model.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';

const TOKENS = [72, 101, 108, 108, 111, 44, 32, 119, 111, 114, 108, 100, 33];

type Values = Record<string, OrtTensor>;

async function load(model: Model): Promise<InferenceSession> {
  const path = join(temporaryFolder(), 'model.onnx');
  await saveModel(model, path);
  return InferenceSession.create(path, {
    graphOptimizationLevel: 'disabled',
    intraOpNumThreads: 1,
  });
}

/** Runs tokens `[from, to)` behind the cache that an earlier run gave, or an empty one. */
async function run(session: InferenceSession, from: number, to: number, before?: Values) {
  const row = (values: readonly number[]) =>
    new OrtTensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
  const positions = TOKENS.map((_, index) => index);
  const feeds: Values = {};
  for (const name of session.inputNames) {
    if (name === 'input_ids') feeds[name] = row(TOKENS.slice(from, to));
    else if (name === 'attention_mask') feeds[name] = row(TOKENS.slice(0, to).map(() => 1));
    else if (name === 'position_ids') feeds[name] = row(positions.slice(from, to));
    else {
      const present = before?.[name.replace('past_key_values', 'present')];
      feeds[name] = present ?? new OrtTensor('float32', new Float32Array(0), [1, 2, 0, 32]);
    }
  }
  return (await session.run(feeds)) as Values;
}

async function lastLogits(values: Values): Promise<Float32Array> {
  return (values['logits']!.data as Float32Array).slice(-256);
}

describe('a pruned model with a KV cache', () => {
  it('continues a cache as the full forward does', async () => {
    const whole = runPasses(await fixture('glm-nano/optimum'), [convertToFloat32]);
    const cuts = findGroups(whole).groups.map((group) => ({
      group,
      removed:
        group.kind === 'heads' ? [1, 2] : Array.from({ length: 64 }, (_, index) => 5 * index),
    }));
    const session = await load(applyPruning(whole, cuts));
    const full = await lastLogits(await run(session, 0, TOKENS.length));
    const prefill = await run(session, 0, TOKENS.length - 1);
    const step = await lastLogits(await run(session, TOKENS.length - 1, TOKENS.length, prefill));
    await session.release();
    expect(prefill['present.0.key']!.dims).toEqual([1, 2, TOKENS.length - 1, 32]);
    // Products of one row and of thirteen sum in another order: some 1e-6 of logits of up to 10.
    const differs = (value: number, index: number) => !(Math.abs(value - full[index]!) < 1e-4);
    expect(full.some((value) => Math.abs(value) > 1)).toBe(true);
    expect(step.findIndex(differs)).toBe(-1);
  });
});
