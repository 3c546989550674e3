import { zipSync } from 'fflate';

/** Returns the bytes of a `.npy` file, format 1.0. `descr` is NumPy's, `<f4` for example. */
export function npy(descr: string, dims: readonly number[], data: ArrayBufferView): Uint8Array {
  const shape = dims.length === 1 ? `${dims[0]},` : dims.join(', ');
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${shape}), }`;
  const header = `${text.padEnd(64 * Math.ceil((text.length + 11) / 64) - 11)}\n`;
  const bytes = Buffer.alloc(10 + header.length);
  bytes.write('\x93NUMPY\x01\x00', 'latin1');
  bytes.writeUInt16LE(header.length, 8);
  bytes.write(header, 10, 'latin1');
  return Buffer.concat([bytes, Buffer.from(data.buffer, data.byteOffset, data.byteLength)]);
}

/** Returns a `.npz`: `level` 0 stores as `numpy.savez` does, others compress as `savez_compressed`. */
export function npz(arrays: Readonly<Record<string, Uint8Array>>, level: 0 | 6): Uint8Array {
  return zipSync(
    Object.fromEntries(Object.entries(arrays).map(([name, bytes]) => [`${name}.npy`, bytes])),
    { level },
  );
}
