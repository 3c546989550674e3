import type { Model } from '../../../src/ir/model.ts';
import type { TensorSource } from '../../../src/ir/tensor.ts';

/**
 * Returns the path and nature of the first difference between two models, or undefined when they
 * are equal in everything but where their weights are stored. Compares all tensor bytes, order of
 * maps included.
 */
export async function modelDifference(a: Model, b: Model): Promise<string | undefined> {
  return difference({ ...a, storage: null }, { ...b, storage: null }, 'model');
}

async function difference(a: unknown, b: unknown, path: string): Promise<string | undefined> {
  if (Object.is(a, b)) return undefined;
  if (isSource(a) && isSource(b)) return bytesDifference(a, b, path);
  if (a instanceof Uint8Array && b instanceof Uint8Array) {
    return Buffer.compare(a, b) === 0 ? undefined : `${path}: bytes differ`;
  }
  if (a instanceof Map && b instanceof Map) return difference([...a], [...b], path);
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) {
    return `${path}: ${String(a)} and ${String(b)}`;
  }
  const keys = new Set([...Object.keys(a), ...Object.keys(b)]);
  for (const key of keys) {
    const found = await difference(
      (a as Record<string, unknown>)[key],
      (b as Record<string, unknown>)[key],
      `${path}.${key}`,
    );
    if (found !== undefined) return found;
  }
  return undefined;
}

function isSource(value: unknown): value is TensorSource {
  return typeof value === 'object' && value !== null && 'read' in value && 'byteLength' in value;
}

async function bytesDifference(
  a: TensorSource,
  b: TensorSource,
  path: string,
): Promise<string | undefined> {
  if (a.byteLength !== b.byteLength) return `${path}: ${a.byteLength} and ${b.byteLength} bytes`;
  const step = 4 * 2 ** 20;
  for (let offset = 0; offset < a.byteLength; offset += step) {
    const length = Math.min(step, a.byteLength - offset);
    const [left, right] = [new Uint8Array(length), new Uint8Array(length)];
    await Promise.all([a.read(left, offset), b.read(right, offset)]);
    if (Buffer.compare(left, right) !== 0)
      return `${path}: bytes differ in the ${length} at ${offset}`;
  }
  return undefined;
}
