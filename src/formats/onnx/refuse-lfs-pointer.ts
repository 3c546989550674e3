import type { ByteSource } from '../bytes.ts';
import { refuse } from './refuse.ts';

/** Pointers are smaller than this (Git LFS specification, "The Pointer"). */
const POINTER_BYTES = 1024;

/**
 * Refuses the few lines of text that a clone without Git LFS holds in place of a large file, under the
 * name of the file; returns for every other file.
 */
export function refuseLfsPointer(file: ByteSource, name: string, where: string): void {
  if (file.byteLength >= POINTER_BYTES) return;
  const bytes = new Uint8Array(file.byteLength);
  file.readSync(bytes, 0);
  const text = new TextDecoder('latin1').decode(bytes);
  if (!/^version https:\/\/(git-lfs|hawser)\.github\.com\/spec\/v\d/.test(text)) return;
  const size = /^size (\d+)$/m.exec(text)?.[1];
  refuse(
    where,
    `${name} is a Git LFS pointer, not the file itself (got ${file.byteLength} bytes of text, expected ${size ?? 'the'} bytes)`,
    'Run "git lfs pull" in its repository, or download the file.',
  );
}
