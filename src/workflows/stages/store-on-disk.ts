import { realpath, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readTensorBytes, type Tensor } from '../../ir/tensor.ts';
import { fileSource } from '../../storage/file-source.ts';

/** Returns a function that moves the bytes of a tensor to a file of its own in `folder`, which outlives its use. */
export function storeOnDisk(folder: string): (tensor: Tensor) => Promise<Tensor> {
  let stored = 0;
  return async (tensor) => {
    const path = join(await realpath(folder), `weight-${stored++}.bin`);
    await writeFile(path, tensor.source.bytes ?? (await readTensorBytes(tensor)));
    const file = fileSource(path);
    const { byteLength } = file;
    const source = {
      byteLength,
      slice: { path, offset: 0 },
      read: (into: Uint8Array, offset: number) => file.read(into, offset),
    };
    return { ...tensor, source };
  };
}
