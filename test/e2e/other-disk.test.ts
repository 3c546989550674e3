import { spawn } from 'node:child_process';
import { cpSync, existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { openModel, saveModel } from '../../src/storage/model-file.ts';
import { root } from '../kit/paths.ts';
import { spawnAutoglm } from '../kit/spawn-autoglm.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';

const MODEL = join(root, 'fixtures/glm-nano/genai');
/** A file system of its own on Linux, held in memory. */
const MEMORY = '/dev/shm';
const isOtherDisk =
  existsSync(MEMORY) && statSync(MEMORY).dev !== statSync(realpathSync(tmpdir())).dev;
if (!isOtherDisk) console.log(`skipped: ${MEMORY} is no disk beside that of ${tmpdir()}`);

function copyModel(): string {
  const model = join(temporaryFolder(), 'model');
  cpSync(MODEL, model, { recursive: true });
  return model;
}

describe.runIf(isOtherDisk)('with the temporary folder on another disk', () => {
  it('check links to the weights from beside them and copies none', async () => {
    const temporary = temporaryFolder(MEMORY);
    const model = copyModel();
    const out = join(model, '../out');
    const data = ['--data', join(root, 'calibration/text'), '--sequence-length', '16'];
    const quantize = ['quantize', model, ...data, '--samples', '1', '-o', out];
    expect((await spawnAutoglm(quantize)).code).toBe(0);

    const args = ['check', out, '--against', model, ...data, '--samples', '1', '--quiet'];
    const child = spawn(process.execPath, [join(root, 'bin/autoglm.js'), ...args], {
      env: { ...process.env, TMPDIR: temporary },
      stdio: 'ignore',
    });
    const ended = new Promise((resolve) => child.on('close', resolve));
    const inMemory = new Set<string>();
    const links = new Map<string, number>();
    while (child.exitCode === null) {
      for (const path of filesUnder(temporary)) inMemory.add(path);
      for (const path of filesUnder(model)) {
        const name = basename(path);
        const found = statSync(path, { throwIfNoEntry: false });
        if (name.startsWith('float32-twin.onnx.') && found) links.set(name, found.nlink);
      }
      await sleep(5);
    }
    expect(await ended).toBe(0);
    // The profile of the kernels, some text, is no weight.
    expect([...inMemory].filter((path) => !path.includes('autoglm-profile-'))).toEqual([]);
    // The original name and the link beside it: the same bytes on the disk.
    expect(links.get('float32-twin.onnx.source-0')).toBe(2);
    expect(readdirSync(model).sort()).toEqual(readdirSync(MODEL).sort());
  });

  it('a model that refers to weights names those that it has to copy', async () => {
    const model = await openModel(copyModel());
    const copied: string[] = [];
    const save = (folder: string) =>
      saveModel(model, join(folder, 'model.onnx'), {
        referenceWeights: true,
        onCopy: (path) => copied.push(basename(path)),
      });
    await save(temporaryFolder());
    expect(copied).toEqual([]);
    await save(temporaryFolder(MEMORY));
    expect(copied).toEqual(['model.onnx.data']);
  });
});

function filesUnder(folder: string): readonly string[] {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
  } catch {
    // A folder went while it was read.
    return [];
  }
}
