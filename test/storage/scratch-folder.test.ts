import { cpSync, existsSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openModel } from '../../src/storage/model-file.ts';
import { makeScratchFolder } from '../../src/storage/scratch-folder.ts';
import { root } from '../kit/paths.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';

const fixture = join(root, 'fixtures/glm-nano/genai');
/** A file system of its own on Linux. */
const MEMORY = '/dev/shm';
const isOtherDisk = existsSync(MEMORY) && statSync(MEMORY).dev !== statSync(tmpdir()).dev;

async function scratchFor(home: string): Promise<string> {
  const folder = join(temporaryFolder(home), 'model');
  cpSync(fixture, folder, { recursive: true });
  const scratch = await makeScratchFolder(await openModel(join(folder, 'model.onnx')));
  expect(existsSync(scratch)).toBe(true);
  rmSync(scratch, { recursive: true });
  return dirname(scratch) === folder ? 'beside the weights' : dirname(scratch);
}

describe('the folder for short-lived copies', () => {
  it('is temporary where the weights can be linked from there', async () => {
    expect(await scratchFor(tmpdir())).toBe(tmpdir());
  });

  it.runIf(isOtherDisk)('is beside the weights when they lie on another disk', async () => {
    expect(await scratchFor(MEMORY)).toBe('beside the weights');
  });
});
