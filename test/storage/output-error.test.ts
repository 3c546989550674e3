import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/errors.ts';
import { makeFolder } from '../../src/storage/atomic-files.ts';
import { writeThroughStaging } from '../../src/storage/replace-folder.ts';
import { writeFileAtomic } from '../../src/storage/write-file-atomic.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';

const AS_MERGED = { force: true, mode: 'merge' } as const;

/** Writes through a staging folder; fails when the work was begun though its end could not be kept. */
function stage(output: string): Promise<void> {
  return writeThroughStaging(output, AS_MERGED, async () => {
    throw new Error('the work began');
  });
}

describe('an output that cannot be written', () => {
  it('is refused before the work when a file has the name of the folder, or of a parent', async () => {
    const folder = temporaryFolder();
    const file = join(folder, 'file');
    writeFileSync(file, 'mine');
    for (const output of [file, join(file, 'below')]) {
      await expect(stage(output)).rejects.toThrow(
        new UsageError(
          `${output}: cannot be written, because a file is where a folder is wanted. Make room for it, or choose another place.`,
        ),
      );
    }
    expect(readdirSync(folder)).toEqual(['file']);
    expect(readFileSync(file, 'utf8')).toBe('mine');
  });

  it('is refused, and its folder left as it was, when a folder has the name of the file', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'junit.xml', 'mine'), { recursive: true });
    await expect(writeFileAtomic(join(folder, 'junit.xml'), '<x/>')).rejects.toThrow(
      `${join(folder, 'junit.xml')}: cannot be written, because a folder is where a file is wanted.`,
    );
    expect(readdirSync(folder, { recursive: true }).sort()).toEqual([
      'junit.xml',
      'junit.xml/mine',
    ]);
  });

  it.runIf(existsSync('/proc/self'))('is refused where the system makes no folder', async () => {
    await expect(stage('/proc/autoglm/out')).rejects.toThrow(
      '/proc/autoglm/out: cannot be written, because the system makes no folder there.',
    );
  });

  it('names what a person chose, not the name under which it is written', async () => {
    const output = join(temporaryFolder(), 'out');
    const act = writeThroughStaging(output, AS_MERGED, (partial) => {
      mkdirSync(join(partial, 'a'));
      return writeFileAtomic(join(partial, 'a'), 'x');
    });
    await expect(act).rejects.toThrow(`${output}/a: cannot be written`);
  });
});

describe('making a folder', () => {
  it('says which parents were not there, and is content with what is', () => {
    const folder = temporaryFolder();
    const inner = join(folder, 'a', 'b');
    expect(makeFolder(inner)).toEqual([inner, join(folder, 'a')]);
    expect(makeFolder(inner)).toEqual([]);
  });
});
