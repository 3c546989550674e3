import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/** The installed onnxruntime-node. */
export interface OnnxruntimePackage {
  readonly version: string;
  /** Folder of libonnxruntime for this platform; provider libraries lie beside it. */
  readonly libraryFolder: string;
  /** False when the package brings no binary for this platform and processor. */
  readonly supportsPlatform: boolean;
}

/** Returns what is installed, without loading the native library into this process. */
export function findOnnxruntime(): OnnxruntimePackage {
  const packageFile = createRequire(import.meta.url).resolve('onnxruntime-node/package.json');
  const { version } = JSON.parse(readFileSync(packageFile, 'utf8')) as { version: string };
  const libraryFolder = join(
    dirname(packageFile),
    'bin',
    'napi-v6',
    process.platform,
    process.arch,
  );
  return { version, libraryFolder, supportsPlatform: existsSync(libraryFolder) };
}
