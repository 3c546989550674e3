import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import wabt from 'wabt';

const source = new URL('../../src/numerics/wasm/weight-kernel.wat', import.meta.url);

/** Returns the TypeScript file that embeds an assembled module. */
function embed(binary: Uint8Array): string {
  const lines =
    Buffer.from(binary)
      .toString('base64')
      .match(/.{1,92}/g) ?? [];
  return `/**
 * weight-kernel.wat, assembled and in base64. Made by \`npx vitest run weight-kernel-module -u\`; do
 * not edit.
 */
export const WEIGHT_KERNEL_MODULE: string =
${lines.map((line) => `  '${line}'`).join(' +\n')};
`;
}

test('The embedded module is what weight-kernel.wat assembles to.', async () => {
  const { parseWat } = await wabt();
  const module = parseWat('weight-kernel.wat', await readFile(source, 'utf8'), { simd: true });
  const { buffer } = module.toBinary({});
  module.destroy();
  await expect(embed(buffer)).toMatchFileSnapshot(
    '../../src/numerics/wasm/weight-kernel-module.ts',
  );
});
