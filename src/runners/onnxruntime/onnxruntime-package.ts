import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { UnavailableError } from '../../errors.ts';

/** The installed onnxruntime-node, with a binary for this machine. */
export interface OnnxruntimePackage {
  readonly version: string;
  /** Folder of libonnxruntime for this platform; provider libraries lie beside it. */
  readonly libraryFolder: string;
}

/**
 * What is missing and what to type. onnxruntime-node is an optional dependency: its install script
 * downloads CUDA libraries on Linux, from outside the npm registry, and where it cannot, a required
 * dependency would undo the whole installation.
 */
const NOT_INSTALLED =
  'onnxruntime-node is not installed, because npm leaves it out when its install script cannot ' +
  'download CUDA libraries. Run "npm install --ignore-scripts autoglm", with -g if autoglm is global';

/**
 * Returns what is installed, without loading the native library into this process; or why
 * onnxruntime cannot run here at all, as a sentence without a full stop.
 */
export function findOnnxruntime(): OnnxruntimePackage | string {
  const packageFile = resolvePackage();
  if (packageFile === undefined) return NOT_INSTALLED;
  const { version } = JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string };
  const { platform, arch } = process;
  const libraryFolder = join(dirname(packageFile), 'bin', 'napi-v6', platform, arch);
  if (existsSync(libraryFolder)) return { version, libraryFolder };
  return `onnxruntime-node ${version} has no binary for ${platform}/${arch}`;
}

/** Returns what {@link findOnnxruntime} found; throws UnavailableError with its reason. */
export function requireOnnxruntime(): OnnxruntimePackage {
  const found = findOnnxruntime();
  if (typeof found === 'string') throw new UnavailableError(`onnxruntime: ${found}.`);
  return found;
}

function resolvePackage(): string | undefined {
  try {
    return createRequire(import.meta.url).resolve('onnxruntime-node/package.json');
  } catch {
    return undefined;
  }
}
