import { basename, join } from 'node:path';
import { AutoglmError, UnavailableError, UnsupportedError } from '../../errors.ts';
import { initializerBytes } from '../../ir/constants.ts';
import type { Model } from '../../ir/model.ts';
import { onnxruntimeRunner } from '../../runners/onnxruntime/onnxruntime-runner.ts';
import { openModel, saveModel } from '../../storage/model-file.ts';
import { makeScratchFolder } from '../../storage/scratch-folder.ts';
import { removeTemporaryFolder } from '../../storage/temporary-folder.ts';

/** Constants inside the .onnx file that onnxruntime may copy to memory. */
const IN_MEMORY_BYTES = 512 * 2 ** 20;

/**
 * Loads a model file that is about to be handed out in onnxruntime on the CPU, with graph optimisation off: every
 * operator, attribute and type of it is what its opset says, and has a kernel. Weights stay mapped from their
 * file; a file that holds more than 512 MiB of them itself is loaded as a small one that points into it.
 * Throws {@link UnsupportedError} when onnxruntime refuses it: the caller must not keep it then.
 */
export async function requireLoadable(
  path: string,
  inMemoryBytes: number = IN_MEMORY_BYTES,
): Promise<void> {
  const written = await openModel(path);
  const isMapped = written.storage.external || initializerBytes(written.graph) <= inMemoryBytes;
  if (isMapped) await load(path, path);
  else await loadByReference(written, path);
}

async function loadByReference(written: Model, path: string): Promise<void> {
  const folder = await makeScratchFolder(written);
  try {
    const small = join(folder, basename(path));
    await saveModel(written, small, { referenceWeights: true });
    await load(small, path);
  } finally {
    await removeTemporaryFolder(folder);
  }
}

async function load(path: string, artifact: string): Promise<void> {
  await refusingUnloadable(path, artifact, async () => {
    const session = await onnxruntimeRunner.load(path, {
      device: 'cpu',
      optimization: 'disabled',
      config: { 'session.disable_prepacking': '1' },
    });
    await session.close();
  });
}

/**
 * Returns what loading a file gives; `path` is the file that onnxruntime names, `artifact` the one that was
 * written. Throws {@link UnsupportedError} when onnxruntime refuses it: the caller must not keep it then.
 */
export async function refusingUnloadable<T>(
  path: string,
  artifact: string,
  load: () => Promise<T>,
): Promise<T> {
  try {
    return await load();
  } catch (error) {
    if (!(error instanceof AutoglmError) || error instanceof UnavailableError) throw error;
    const said = error.message.replaceAll(path, basename(artifact)).replace(/\.$/, '');
    throw new UnsupportedError(
      `${basename(artifact)}: nothing was kept, because onnxruntime cannot load what was written ` +
        `(got "${said}"). Please report this with the model.`,
      { cause: error },
    );
  }
}
