import type { Graph, ValueInfo, ValueType } from '../ir/model.ts';

/** Returns the type with float16 replaced by float32; the same object when there is none. */
export function widenType(type: ValueType): ValueType {
  if (type.kind === 'opaque') return type;
  if ('dataType' in type) {
    return type.dataType === 'float16' ? { ...type, dataType: 'float32' } : type;
  }
  const element = type.element && widenType(type.element);
  return element === type.element ? type : { ...type, element };
}

/** Returns the value with its type widened; the same object when it is not float16. */
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
