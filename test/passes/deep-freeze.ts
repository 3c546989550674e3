/** Makes a value and everything it reaches unchangeable; typed arrays excepted, which cannot be frozen. */
export function deepFreeze<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
  if (Object.isFrozen(value)) return value;
  if (value instanceof Map) {
    const refuse = (): never => {
      throw new TypeError('this Map must not change');
    };
    for (const entry of value.values()) deepFreeze(entry);
    Object.assign(value, { set: refuse, delete: refuse, clear: refuse });
  }
  Object.freeze(value);
  for (const inner of Object.values(value)) deepFreeze(inner);
  return value;
}
