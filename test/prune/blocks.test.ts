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

/** Its hidden channels are the columns of a table of tokens. */
const TIED = 'tied-embedding-ffn-ts';

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
    expect(groups.length > 0, 'something can go').toBe(name !== TIED);
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
