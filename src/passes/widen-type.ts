import type { DataType } from '../ir/data-type.ts';
import type { Graph, ValueInfo, ValueType } from '../ir/model.ts';
import type { Tensor } from '../ir/tensor.ts';

/** Says whether values are real numbers of 16 bits: every one of them is a float32, too. */
export function isNarrowFloat(dataType: DataType | undefined): boolean {
  return dataType === 'float16' || dataType === 'bfloat16';
}

/** Returns the bytes that a constant takes when 16-bit floats are float32. */
export function bytesInFloat32({ dataType, source }: Tensor): number {
  return source.byteLength * (isNarrowFloat(dataType) ? 2 : 1);
}

/** Returns the type with float16 and bfloat16 replaced by float32; the same object when there is none. */
export function widenType(type: ValueType): ValueType {
  if (type.kind === 'opaque') return type;
  if ('dataType' in type) {
    return isNarrowFloat(type.dataType) ? { ...type, dataType: 'float32' } : type;
  }
  const element = type.element && widenType(type.element);
  return element === type.element ? type : { ...type, element };
}

/** Returns the value with its type widened; the same object when it is not 16 bits wide. */
export function widenInfo(info: ValueInfo): ValueInfo {
  const type = info.type && widenType(info.type);
  return type === info.type || type === undefined ? info : { ...info, type };
}

const NONE: ReadonlySet<string> = new Set();

/** Returns the types of intermediate values widened, but for those in `kept`, without `dropped`. */
export function widenInfos(
  infos: Graph['valueInfo'],
  kept: ReadonlySet<string> = NONE,
  dropped: ReadonlySet<string> = NONE,
): Graph['valueInfo'] {
  const next = new Map<string, ValueInfo>();
  let changed = false;
  for (const [name, info] of infos) {
    const widened = kept.has(name) ? info : widenInfo(info);
    changed ||= widened !== info || dropped.has(name);
    if (!dropped.has(name)) next.set(name, widened);
  }
  return changed ? next : infos;
}
