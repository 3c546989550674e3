import type { DataType } from '../ir/data-type.ts';
import type { Dim } from '../ir/model.ts';
import { isStatic } from './dim.ts';
import { evaluated, type Facts, forEachIndex, MAX_ELEMENTS, stridesOf } from './op-spec.ts';

/**
 * Returns the shape of multidirectional (numpy) broadcasting, or undefined when a rank is unknown.
 * Two different symbols give an unknown dimension; a symbol against a number > 1 must equal it.
 */
export function broadcastShapes(
  shapes: readonly (readonly Dim[] | undefined)[],
): readonly Dim[] | undefined {
  let result: readonly Dim[] = [];
  for (const shape of shapes) {
    if (shape === undefined) return undefined;
    const rank = Math.max(result.length, shape.length);
    const [left, right] = [padded(result, rank), padded(shape, rank)];
    result = left.map((dim, axis) => broadcastDims(dim, right[axis]));
  }
  return result;
}

function broadcastDims(a: Dim, b: Dim): Dim {
  if (a === b || b === 1) return a;
  if (a === 1) return b;
  if (typeof a === 'number' && a !== 1) return a;
  return typeof b === 'number' ? b : undefined;
}

function padded(shape: readonly Dim[], rank: number): readonly Dim[] {
  return [...new Array<Dim>(rank - shape.length).fill(1), ...shape];
}

/** Returns facts of an elementwise op over broadcast inputs; `combine` sees one element of each. */
export function broadcastFacts(
  dataType: DataType | undefined,
  inputs: readonly Facts[],
  combine?: (...elements: readonly Dim[]) => Dim,
): Facts {
  const shape = broadcastShapes(inputs.map((input) => input.shape));
  const known = inputs.every((input) => input.elements !== undefined);
  if (!known || combine === undefined || !isStatic(shape)) return { dataType, shape };
  const count = shape.reduce((product, dim) => product * dim, 1);
  if (count > MAX_ELEMENTS) return { dataType, shape };
  const readers = inputs.map((input) => broadcastReader(input, shape.length));
  const elements: Dim[] = [];
  forEachIndex(shape, (index) => {
    elements.push(combine(...readers.map((read) => read(index))));
  });
  return evaluated(dataType, shape, elements);
}

/** Returns a function from an index of the broadcast shape to the input's element there. */
export function broadcastReader(input: Facts, rank: number): (index: readonly number[]) => Dim {
  const shape = (input.shape ?? []).map(Number);
  const strides = stridesOf(shape);
  const skip = rank - shape.length;
  return (index) => {
    let offset = 0;
    shape.forEach((dim, axis) => {
      if (dim !== 1) offset += (index[axis + skip] ?? 0) * (strides[axis] ?? 0);
    });
    return input.elements?.[offset];
  };
}
