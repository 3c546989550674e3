import type { Manifest } from '../artifact/manifest.ts';
import { formatBytes } from './format.ts';

/** Returns the files of an artifact under the folder they lie in, `manifest.json` last. */
export function renderFiles(folder: string, { files }: Manifest): string {
  const rows = [
    ...files.map(({ file, byteLength }) => ({ file, size: formatBytes(byteLength) })),
    { file: 'manifest.json', size: '' },
  ];
  const width = Math.max(...rows.map(({ file }) => file.length));
  const sizes = Math.max(...rows.map(({ size }) => size.length));
  const line = ({ file, size }: { file: string; size: string }): string =>
    `  ${file.padEnd(width)}  ${size.padStart(sizes)}`.trimEnd();
  return [`Files in ${folder}`, ...rows.map(line)].join('\n');
}
