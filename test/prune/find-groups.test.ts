import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openModelOnDisk } from '../../src/artifact/model-on-disk.ts';
import { findGroups } from '../../src/prune/find-groups.ts';
import type { PruneGroup } from '../../src/prune/group.ts';
import { AXIS_RULES } from '../../src/prune/rules/index.ts';
import { root } from '../kit/paths.ts';

/** kind, units, equal stretches, in how many layers */
const EXPECTED: Readonly<Record<string, readonly string[]>> = {
  'glm-nano/dynamo-opset18': ['6 x heads of 4 in 2', '6 x ffn of 384 in 1'],
  'glm-nano/dynamo-opset23': ['6 x heads of 4 in 2', '6 x ffn of 384 in 1'],
  'glm-nano/genai': ['6 x heads of 4 in 2', '6 x ffn of 384 in 1'],
  'glm-nano/optimum': ['6 x heads of 4 in 2', '6 x ffn of 384 in 1'],
  'glm-nano/torchscript': ['6 x heads of 4 in 2', '6 x ffn of 384 in 1'],
  'vit-fashion/dynamo-opset18': ['3 x heads of 4 in 1', '3 x ffn of 128 in 1'],
  'vit-fashion/optimum': ['3 x heads of 4 in 1', '3 x ffn of 128 in 1'],
  'vit-fashion/torchscript-opset14': ['3 x heads of 4 in 1', '3 x ffn of 128 in 1'],
};

function count(groups: readonly PruneGroup[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const { kind, unitCount, blockCount } of groups) {
    const line = `${kind} of ${unitCount} in ${blockCount}`;
    counts.set(line, (counts.get(line) ?? 0) + 1);
  }
  return [...counts].map(([line, times]) => `${times} x ${line}`);
}

describe('AXIS_RULES', () => {
  it('say of each operator once what it does to an axis', () => {
    const operators = AXIS_RULES.flatMap(({ domains = [''], opTypes }) =>
      domains.flatMap((domain) => opTypes.map((opType) => `${domain}:${opType}`)),
    );
    expect(operators.filter((operator, index) => operators.indexOf(operator) !== index)).toEqual(
      [],
    );
  });
});

describe('findGroups', () => {
  it.each(Object.entries(EXPECTED))(
    'finds every head and hidden channel of %s, whatever spells them',
    async (folder, expected) => {
      const { model } = await openModelOnDisk(join(root, 'fixtures', folder));
      const { groups, declined } = findGroups(model);
      expect(count(groups)).toEqual(expected);
      // What is left are the products that read the residual stream.
      const reasons = new Set(declined.map(({ reason }) => reason));
      for (const reason of reasons)
        expect(reason).toMatch(/residual width|ReduceMean over|is an input of/);
    },
  );
});
