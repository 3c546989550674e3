import { expect, it } from 'vitest';
import { constantsOf, initializerBytes } from '../../src/ir/constants.ts';
import { bytesInFloat32 } from '../../src/passes/widen-type.ts';
import { floats, model, node, value } from '../kit/models.ts';

const { graph } = model({
  nodes: [
    node('Constant', [], 'c', { value: floats('', [2], [1, 2]) }),
    node('Mul', ['x', 'w'], 'a'),
    node('Add', ['a', 'c'], 'y'),
  ],
  initializers: [floats('w', [2], [3, 4], 'float16'), floats('v', [3], [5, 6, 7])],
  inputs: [value('x', 'float32', [2])],
  outputs: [value('y', 'float32', [2])],
});

it('names the constants of a graph, initializers first, then those of Constant nodes', () => {
  const found = [...constantsOf(graph)].map(([name, { dims, dataType }]) => [name, dims, dataType]);
  expect(found).toEqual([
    ['w', [2], 'float16'],
    ['v', [3], 'float32'],
    ['c', [2], 'float32'],
  ]);
});

it('weighs initializers as they are stored, and as float32', () => {
  expect(initializerBytes(graph)).toBe(2 * 2 + 3 * 4);
  expect(initializerBytes(graph, bytesInFloat32)).toBe(2 * 4 + 3 * 4);
});
