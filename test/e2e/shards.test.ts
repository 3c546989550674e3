import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { spawnAutoglm } from '../cli/spawn-autoglm.ts';

const base = mkdtempSync(join(tmpdir(), 'autoglm-shards-'));
afterAll(() => rmSync(base, { recursive: true, force: true }));

it('four shards, merged in any order, are byte-equal to one calibration', async () => {
  const data = ['--data', 'calibration/text', '--samples', '8', '--sequence-length', '32'];
  const calibrate = async (name: string, ...options: string[]): Promise<string> => {
    const folder = join(base, name);
    const args = ['calibrate', 'fixtures/glm-nano/genai', ...data, ...options, '-o', folder];
    const { code, stderr } = await spawnAutoglm(args);
    expect(code, stderr).toBe(0);
    return join(folder, 'calibration.json');
  };
  const whole = readFileSync(await calibrate('whole'));
  const shards: string[] = [];
  for (const index of [2, 0, 3, 1]) {
    shards.push(await calibrate(`shard-${index}`, '--shard', `${index}/4`));
  }
  const merged = join(base, 'merged');
  const { code, stderr } = await spawnAutoglm(['calibrate', 'merge', ...shards, '-o', merged]);
  expect(code, stderr).toBe(0);
  expect(readFileSync(join(merged, 'calibration.json')).equals(whole)).toBe(true);
});
