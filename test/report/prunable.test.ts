import { describe, expect, it } from 'vitest';
import type { PrunableOutcome } from '../../src/artifact/results.ts';
import { renderPrunable } from '../../src/report/prunable.ts';

const FFN = {
  kind: 'ffn',
  units: 384,
  blocks: 1,
  step: 8,
  steps: 47,
  parametersPerStep: 3072,
  bytesPerStep: 6144,
  share: 0.3,
} as const;

const OUTCOME: PrunableOutcome = {
  schema: 'autoglm.prunable/1',
  path: 'model.onnx',
  parameterCount: 1_250_035,
  byteLength: 2_700_000,
  groups: [
    { ...FFN, name: 'layers.0.mlp' },
    { ...FFN, name: 'layers.1.mlp' },
    {
      ...FFN,
      name: 'layers.0.attn',
      kind: 'heads',
      units: 4,
      blocks: 2,
      step: 2,
      steps: 1,
      share: 0.1,
    },
  ],
  declined: [
    { name: 'layers.0.mlp', node: '/norm.0', reason: 'it normalises over the channels' },
    { name: 'layers.1.mlp', node: '/norm.1', reason: 'it normalises over the channels' },
    { name: 'lm_head', node: '/embed\u001b[31m', reason: 'it looks up rows of a table' },
  ],
};

describe('what can be pruned, as text', () => {
  const text = renderPrunable(OUTCOME, { width: 80 });

  it('has groups that are alike in one row with their share together', () => {
    expect(text).toMatch(/^Prunable +70\.0 % of the parameters, in 3 groups$/m);
    expect(text).toMatch(/^groups +count +units +step +steps +parameters +bytes +share +such as$/m);
    expect(text).toMatch(/^ffn +2 +384 +8 +47 +3,072 +6\.14 kB +60\.0 % +layers\.0\.mlp$/m);
    expect(text).toMatch(/^heads +1 +4 +2 +1 +3,072 +6\.14 kB +10\.0 % +layers\.0\.attn$/m);
  });

  it('names what is left alone by reason, without what would move a terminal', () => {
    expect(text).toMatch(/^Left alone \(3\):$/m);
    expect(text).toMatch(/^\/norm\.0 and 1 more: it normalises over the channels$/m);
    expect(text).toContain('it looks up rows of a table');
    expect(text).not.toContain('\u001b');
  });

  it('adds no shares up where neighbours hold the same filters', () => {
    const channels = { ...FFN, name: 'stage.0', kind: 'channels', share: 0.9 } as const;
    const convolutional = { ...OUTCOME, groups: [channels, { ...channels, name: 'stage.1' }] };
    expect(renderPrunable(convolutional, { width: 80 })).toMatch(
      /^Prunable +2 groups, neighbours share filters$/m,
    );
  });

  it('says so where there is nothing', () => {
    const none = renderPrunable({ ...OUTCOME, groups: [], declined: [] }, { width: 80 });
    expect(none).toMatch(/^Prunable +nothing$/m);
    expect(none).not.toMatch(/groups +count|Left alone/);
  });
});
