import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { killAtExit } from '../process/living-processes.ts';

/** The TensorRT command line that builds engines. */
export interface Trtexec {
  readonly path: string;
  /** `10.3.0`, from its banner `[TensorRT v100300]`; undefined when it prints none. */
  readonly version: string | undefined;
}

/** Where TensorRT's packages put trtexec when it is not on the PATH. */
const USUAL_FOLDERS: readonly string[] = [
  '/usr/src/tensorrt/bin',
  '/opt/tensorrt/bin',
  '/usr/local/tensorrt/bin',
];

/** Returns the first trtexec on the PATH or in its usual folders, or undefined. */
export async function findTrtexec(): Promise<Trtexec | undefined> {
  const path = findProgram('trtexec', USUAL_FOLDERS);
  if (path === undefined) return undefined;
  return { path, version: parseTrtexecVersion(await readOutput(path, ['--help'])) };
}

/**
 * Returns the version in trtexec's banner. The number packs major, minor and patch in two digits
 * each from version 10 on (`v100300`), in one digit before (`v8601` is 8.6.1).
 */
export function parseTrtexecVersion(banner: string): string | undefined {
  const digits = /\[TensorRT v(\d+)\]/.exec(banner)?.[1];
  if (digits === undefined) return undefined;
  const number = Number(digits);
  const parts =
    digits.length >= 6
      ? [Math.floor(number / 10_000), Math.floor(number / 100) % 100, number % 100]
      : [Math.floor(number / 1000), Math.floor(number / 100) % 10, number % 100];
  return parts.join('.');
}

/** Returns the full path of a program on the PATH or in one of the other folders. */
export function findProgram(
  name: string,
  otherFolders: readonly string[] = [],
): string | undefined {
  const file = process.platform === 'win32' ? `${name}.exe` : name;
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), ...otherFolders];
  return folders.map((folder) => join(folder, file)).find((path) => existsSync(path));
}

/** Returns what a program prints (both streams), '' when it cannot be run or takes over 10 s. */
export function readOutput(path: string, options: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    killAtExit(
      execFile(path, options, { timeout: 10_000, encoding: 'utf8' }, (_error, stdout, stderr) => {
        resolve(`${stdout}${stderr}`);
      }),
    );
  });
}
