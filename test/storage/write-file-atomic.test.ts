import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { hashFile } from '../../src/storage/hash-file.ts';
import { writeFileAtomic } from '../../src/storage/write-file-atomic.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';

it('writes text as UTF-8, makes the folder, and replaces an older file', async () => {
  const path = join(temporaryFolder(), 'a', 'b', 'result.json');
  await writeFileAtomic(path, 'old and longer');
  await writeFileAtomic(path, '{"µ":1}');
  expect(readFileSync(path, 'utf8')).toBe('{"µ":1}');
  expect(readdirSync(join(path, '..'))).toEqual(['result.json']);
});

it('hashes a file as sha256sum does', async () => {
  const path = join(temporaryFolder(), 'abc');
  await writeFileAtomic(path, 'abc');
  // FIPS 180-2, appendix B.1.
  expect(await hashFile(path)).toBe(
    'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
  );
  // A million times "a" (appendix B.3).
  await writeFileAtomic(path, 'a'.repeat(1_000_000));
  expect(await hashFile(path)).toBe(
    'cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0',
  );
});
