import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { main } from '../../src/cli/main.ts';
import { HOSTILE, type HostileCase } from '../formats/onnx/hostile.ts';
import { type Outcome, spawnAutoglm } from '../kit/spawn-autoglm.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';

afterEach(() => vi.restoreAllMocks());

/** The command line inside this process: a process for each of hundreds of runs takes minutes. */
async function callMain(args: readonly string[]): Promise<Outcome> {
  const printed = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      printed[name] += String(text);
      return true;
    });
  }
  try {
    return { code: await main(args), ...printed };
  } finally {
    vi.restoreAllMocks();
  }
}

async function expectRefusal(
  hostile: HostileCase,
  autoglm: (args: readonly string[]) => Promise<Outcome>,
): Promise<void> {
  const folder = temporaryFolder();
  const model = join(folder, 'in', 'model.onnx');
  mkdirSync(join(folder, 'in'));
  writeFileSync(model, hostile.bytes);
  hostile.around?.(join(folder, 'in'));
  const there = readdirSync(folder, { recursive: true });
  const message = hostile.message.replaceAll('<path>', model).replaceAll('<parent>', folder);
  const out = ['-o', join(folder, 'out', 'int8')];
  const verbs = [
    ['inspect', model],
    ['quantize', model, '--recipe', 'w8a16', ...out],
    ['calibrate', model, '--data', 'calibration/text', ...out],
    ['export', model, '--target', 'tensorrt', '--data', 'calibration/text', ...out],
  ];
  for (const args of verbs) {
    expect(await autoglm(args)).toEqual({
      code: 4,
      stdout: '',
      stderr: `autoglm: ${message}\n`,
    });
  }
  expect(readdirSync(folder, { recursive: true })).toEqual(there);
}

describe('hostile files', () => {
  it.each(HOSTILE)('$name: exit 4, one sentence, nothing left behind', async (hostile) => {
    await expectRefusal(hostile, callMain);
  });

  const [first, middle] = [HOSTILE[0], HOSTILE[HOSTILE.length >> 1]];
  it.each([first, middle].filter((hostile) => hostile !== undefined))(
    '$name: the same from the real process',
    async (hostile) => {
      await expectRefusal(hostile, spawnAutoglm);
    },
  );
});
