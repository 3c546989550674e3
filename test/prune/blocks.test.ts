import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Tensor as OrtTensor } from 'onnxruntime-node';
import { describe, expect, it } from 'vitest';
import { openModelOnDisk } from '../../src/artifact/model-on-disk.ts';
import type { Model, ValueInfo } from '../../src/ir/model.ts';
import { convertToFloat32 } from '../../src/passes/convert-to-float32.ts';
import { runPasses } from '../../src/passes/pass.ts';
import { applyPruning } from '../../src/prune/apply-pruning.ts';
import { countToPrune } from '../../src/prune/count-units.ts';
import { cuttableGroups } from '../../src/prune/cuttable-groups.ts';
import { findGroups } from '../../src/prune/find-groups.ts';
import type { PruneGroup } from '../../src/prune/group.ts';
import type { Cut } from '../../src/prune/kept-axes.ts';
import { maskedReference } from '../../src/prune/masked-reference.ts';
import { noise } from '../kit/models.ts';
import { root } from '../kit/paths.ts';
import { type Feeds, runModel } from '../kit/run-model.ts';

const FOLDER = join(root, 'fixtures/prune/blocks');

/** Units in a fixed scattered order, equally many from each stretch. */
function scatter(group: PruneGroup, amount: number): Cut {
  const { unitCount, blockCount } = group;
  const size = unitCount / blockCount;
  const count = Math.min(size - 1, Math.max(1, countToPrune(amount, size)));
  const removed = Array.from({ length: blockCount }, (_, block) => {
    const keyed = [...Array(size).keys()].map((unit) => [((unit + 3 * block) * 37) % 101, unit]);
    keyed.sort(([a = 0], [b = 0]) => a - b);
    return keyed.slice(0, count).map(([, unit = 0]) => block * size + unit);
  });
  return { group, removed: removed.flat().sort((a, b) => a - b) };
}

const SIZES: readonly (readonly [RegExp, number])[] = [
  [/\+/, 6],
  [/past|cache/i, 0],
  [/batch/i, 2],
];

function feedsOf(model: Model): Feeds {
  return Object.fromEntries(
    model.graph.inputs.map((input, index) => [input.name, feedOf(input, index)]),
  );
}

function feedOf({ name, type }: ValueInfo, index: number): OrtTensor {
  if (type?.kind !== 'tensor') throw new Error(`${name} is no tensor`);
  const dims = (type.shape ?? []).map((dim) => {
    if (typeof dim === 'number') return dim;
    const length = name === 'input_values' ? 400 : 6;
    return SIZES.find(([pattern]) => pattern.test(String(dim)))?.[1] ?? length;
  });
  const count = dims.reduce((product, dim) => product * dim, 1);
  const { dataType } = type;
  if (dataType === 'float32') return new OrtTensor('float32', noise(index + 1, count), dims);
  const isMask = /mask/.test(name);
  const width = dims.at(-1) ?? 1;
  const value = (at: number): number =>
    isMask ? 1 : /type/.test(name) ? 0 : /position/.test(name) ? at % width : (at * 7) % 29;
  if (dataType === 'int32') {
    return new OrtTensor(
      'int32',
      Int32Array.from({ length: count }, (_, at) => scalars[name] ?? value(at)),
      dims,
    );
  }
  return new OrtTensor(
    'int64',
    BigInt64Array.from({ length: count }, (_, at) => BigInt(value(at))),
    dims,
  );
}

/** What can go from each: kind, units and equal stretches. */
const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  'attention-23-3d': ['heads 8/2'],
  'attention-23-4d': ['heads 8/2'],
  // One bias for each head, one for all.
  'attention-bias-heads': ['heads 4/1', 'heads 4/1'],
  'attention-contrib': ['heads 4/1'],
  'bert-optimum': ['heads 4/1', 'ffn 48/1'],
  'biased-fc1': ['ffn 48/1'],
  'fp16-cast-pairs': ['heads 4/1', 'ffn 48/1'],
  'glm4-static-dynamo': ['heads 8/2', 'ffn 96/1', 'heads 8/2', 'ffn 96/1'],
  'glm4-static-ts': ['heads 8/2', 'ffn 96/1', 'heads 8/2', 'ffn 96/1'],
  'gpt2-optimum': ['heads 4/1', 'ffn 48/1'],
  'gqa-contrib': ['heads 8/2'],
  'gqa-contrib-packed': ['heads 8/2'],
  'head-sink': ['heads 8/2'],
  'llama-gqa-optimum': ['heads 8/2', 'ffn 96/1', 'heads 8/2', 'ffn 96/1'],
  'mha-contrib': ['heads 4/1'],
  'mha-torch-dynamo': ['heads 4/1', 'ffn 48/1'],
  'mha-torch-ts': ['heads 4/1', 'ffn 48/1'],
  // One key head: query heads go all the same.
  mqa: ['heads 8/1', 'heads 8/1'],
  'qdq-ffn': ['ffn 48/1'],
  // Eight heads, and eight elsewhere in the same constant.
  'shared-constant': ['heads 8/1'],
  'shared-shape-concat': ['heads 8/2'],
  'silu-diamond': ['ffn 48/1'],
  'split-constant-input': ['heads 8/2', 'ffn 48/1'],
  't5-encoder-dynamo': ['heads 4/1', 'ffn 48/1'],
  't5-encoder-ts': ['heads 4/1', 'ffn 48/1'],
  // Its hidden channels are the columns of a table of tokens.
  'tied-embedding-ffn-ts': [],
  'tile-vs-expand': ['heads 8/2', 'heads 8/2'],
  'vit-timm-qkv-dynamo': ['heads 4/1', 'ffn 64/1'],
  'vit-timm-qkv-ts': ['heads 4/1', 'ffn 64/1'],
  'wav2vec2-dynamo': ['channels 24/1', 'channels 24/1', 'heads 4/1', 'ffn 48/1'],
  'wav2vec2-stable-dynamo': ['heads 4/1', 'ffn 48/1'],
  'wav2vec2-stable-ts': ['heads 4/1', 'ffn 48/1'],
  'wav2vec2-ts': ['channels 24/1', 'channels 24/1', 'heads 4/1', 'ffn 48/1'],
};

/** Lengths that GroupQueryAttention takes beside the tokens. */
const scalars: Readonly<Record<string, number>> = { seqlens_k: 5, total: 6 };

describe('blocks as exporters write them', () => {
  it.each(
    readdirSync(FOLDER).flatMap((name) => [0.1, 0.2, 0.5].map((amount) => [name, amount] as const)),
  )('%s cut by %d gives what the masked original gives', async (name, amount) => {
    const { model } = await openModelOnDisk(join(FOLDER, name));
    const whole = runPasses(model, [convertToFloat32]);
    const { groups, declined } = cuttableGroups(whole, findGroups(whole));
    for (const { node, reason } of declined) expect([node, reason]).not.toContain('');
    const told = groups.map(
      ({ kind, unitCount, blockCount }) => `${kind} ${unitCount}/${blockCount}`,
    );
    expect(told).toEqual(EXPECTED[name]);
    if (name === 'tied-embedding-ffn-ts')
      expect(declined.map(({ reason }) => reason)).toContain('it looks up rows of a table');
    const cuts = groups.map((group) => scatter(group, amount));
    // A convolution sums over channels and window together, in blocks that begin elsewhere after the cut.
    const tolerance = groups.some(({ kind }) => kind === 'channels') ? 1e-5 : 0;
    const run = async (found: Model) =>
      (await runModel(found, [feedsOf(found)], {}, 'disabled')).outputs;
    const actual = await run(applyPruning(whole, cuts));
    const expected = await run(maskedReference(whole, cuts));
    for (const { name: output } of whole.graph.outputs) {
      const [a, b] = [actual.get(output)!, expected.get(output)!];
      // A cache that lost heads has another shape.
      if (a.length !== b.length) continue;
      const differs = (value: number, at: number) => !(Math.abs(value - b[at]!) <= tolerance);
      expect(a.findIndex(differs), output).toBe(-1);
    }
  });
});
