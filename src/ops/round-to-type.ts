import type { DataType } from '../ir/data-type.ts';
import { roundToFloat16 } from '../numerics/float16.ts';

/** Bits and signedness of integer types that shape arithmetic uses. */
const INTEGER_RANGES: Readonly<Record<string, readonly [number, number]>> = {
  int8: [-(2 ** 7), 2 ** 7 - 1],
  uint8: [0, 2 ** 8 - 1],
  int16: [-(2 ** 15), 2 ** 15 - 1],
  uint16: [0, 2 ** 16 - 1],
  int32: [-(2 ** 31), 2 ** 31 - 1],
  uint32: [0, 2 ** 32 - 1],
  int64: [-(2 ** 63), 2 ** 63],
  uint64: [0, 2 ** 64],
};

/** Says whether values of the type are whole numbers. */
export function isIntegerType(dataType: DataType | undefined): boolean {
  return dataType !== undefined && dataType in INTEGER_RANGES;
}

/**
 * Returns `value` as the type stores it: floats rounded half to even, integers as they are.
 * Undefined where the result depends on the runtime (integer overflow) or the type is not followed.
 */
export function roundToType(dataType: DataType | undefined, value: number): number | undefined {
  switch (dataType) {
    case 'float64':
      return value;
    case 'float32':
      return Math.fround(value);
    case 'float16':
      return roundToFloat16(value);
    case 'bool':
      return value === 0 ? 0 : 1;
    default: {
      const range = dataType === undefined ? undefined : INTEGER_RANGES[dataType];
      if (range === undefined || !Number.isFinite(value)) return undefined;
      return value >= range[0] && value <= range[1] ? value : undefined;
    }
  }
}

/** Returns a number converted as ONNX `Cast` does: floats to integers truncate toward zero. */
export function castElement(
  from: DataType | undefined,
  to: DataType,
  value: number,
): number | undefined {
  if (to === 'bool') return value === 0 ? 0 : 1;
  if (isIntegerType(to) && !isIntegerType(from)) return roundToType(to, Math.trunc(value));
  return roundToType(to, value);
}
