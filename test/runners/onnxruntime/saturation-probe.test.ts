import { expect, it } from 'vitest';
import { readInstructionSets } from '../../../src/runners/instruction-sets.ts';
import { saturatesPairs } from '../../../src/runners/onnxruntime/saturation-probe.ts';

it('tries a product, and finds what the flags of the CPU say where there are any', async () => {
  const saturates = await saturatesPairs();
  expect(saturates).toBeTypeOf('boolean');
  const sets = readInstructionSets() ?? [];
  if (!sets.includes('avx2')) return;
  expect(saturates).toBe(!sets.some((set) => /vnni$/.test(set)));
});
