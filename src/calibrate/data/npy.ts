import { FormatError } from '../../errors.ts';
import type { KnownDataType } from '../../ir/data-type.ts';

/** Bytes within which a header must end: names of structured types could make it long, ours cannot. */
const NPY_HEADER_LIMIT = 65_536;

/** What stands before the values of a `.npy` file. */
export interface NpyHeader {
  readonly dataType: KnownDataType;
  readonly dims: readonly number[];
  /** Offset of the first value. */
  readonly dataOffset: number;
}

const DTYPES: Readonly<Record<string, KnownDataType>> = {
  '<f2': 'float16',
  '<f4': 'float32',
  '<f8': 'float64',
  '|i1': 'int8',
  '|u1': 'uint8',
  '<i2': 'int16',
  '<u2': 'uint16',
  '<i4': 'int32',
  '<u4': 'uint32',
  '<i8': 'int64',
  '<u8': 'uint64',
  '|b1': 'bool',
};

/**
 * Returns the header of a `.npy` (format 1.0 to 3.0, NEP 1), or undefined when `bytes` end before the
 * header does. Throws {@link FormatError} for anything but C-ordered little-endian numbers.
 */
export function parseNpyHeader(bytes: Uint8Array, where: string): NpyHeader | undefined {
  if (bytes.length < 12) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(0) !== 0x934e554d || view.getUint16(4) !== 0x5059) {
    throw new FormatError(`${where}: not a NumPy array (its first bytes are not \\x93NUMPY).`);
  }
  const isLong = view.getUint8(6) >= 2;
  const length = isLong ? view.getUint32(8, true) : view.getUint16(8, true);
  const dataOffset = (isLong ? 12 : 10) + length;
  if (dataOffset > NPY_HEADER_LIMIT) {
    throw new FormatError(
      `${where}: header of ${length} bytes (expected ${NPY_HEADER_LIMIT} at most).`,
    );
  }
  if (bytes.length < dataOffset) return undefined;
  const text = new TextDecoder().decode(bytes.subarray(dataOffset - length, dataOffset));
  const descr = /'descr'\s*:\s*'([^']*)'/.exec(text)?.[1];
  const shape = /'shape'\s*:\s*\(([^)]*)\)/.exec(text)?.[1];
  const dataType = descr === undefined ? undefined : DTYPES[descr];
  if (dataType === undefined) {
    throw new FormatError(
      `${where}: values of type ${descr ?? 'unknown'} (expected one of ${Object.keys(DTYPES).join(' ')}). Save plain little-endian numbers.`,
    );
  }
  const dims = (shape ?? '')
    .split(',')
    .filter((part) => part.trim() !== '')
    .map(Number);
  if (shape === undefined || !dims.every((dim) => Number.isSafeInteger(dim) && dim >= 0)) {
    throw new FormatError(`${where}: its shape cannot be read (got ${shape}).`);
  }
  if (/'fortran_order'\s*:\s*True/.test(text) && dims.length > 1) {
    throw new FormatError(`${where}: Fortran order. Save it with numpy.ascontiguousarray.`);
  }
  return { dataType, dims, dataOffset };
}
