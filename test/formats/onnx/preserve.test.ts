import { readFileSync, writeFileSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openModel, saveModel } from '../../../src/storage/model-file.ts';
import { temporaryFolder } from '../../kit/temporary-folder.ts';
import { modelDifference } from './model-difference.ts';
import { field, join, model, node, tensor, value, varint } from './wire.ts';

/**
 * A field that no version of ONNX has, in each wire type, marked with the place where it stands.
 */
function newer(place: string): Uint8Array[] {
  return [
    field(700, `newer in ${place}`),
    join([varint(701 * 8 + 1), Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)]),
    field(702, 2n ** 64n - 1n),
    join([varint(703 * 8 + 5), Uint8Array.of(1, 2, 3, 4)]),
  ];
}

const entry = (place: string): Uint8Array[] => [
  field(1, `key ${place}`),
  field(2, 'v'),
  ...newer(`entry of ${place}`),
];
const type = (place: string): Uint8Array =>
  field(2, [
    field(1, [field(1, 1), ...newer(`tensor type of ${place}`)]),
    ...newer(`type of ${place}`),
  ]);
const attribute = [
  field(1, 'alpha'),
  field(2, Uint8Array.of()),
  field(20, 99),
  ...newer('attribute'),
];
const opset = [field(1, 'org'), field(2, 3), ...newer('opset')];
const weight = tensor('w', 1, [1], new Uint8Array(4), [
  field(16, entry('tensor')),
  field(3, [field(2, 7)]),
  ...newer('tensor'),
]);
const sparse = [
  field(1, tensor('s', 1, [1], new Uint8Array(4))),
  field(2, tensor('', 7, [1], new Uint8Array(8))),
  field(3, 5),
  ...newer('sparse tensor'),
];
const onlyNode = [
  ...node('Add', ['x', 'w'], ['y']),
  field(5, attribute),
  field(9, entry('node')),
  field(10, [field(1, 'device')]),
  ...newer('node'),
];
const functionFields = [
  field(1, 'f'),
  field(10, 'org'),
  field(13, 'over'),
  field(4, 'a'),
  field(5, 'b'),
  field(7, [...node('Neg', ['a'], ['b']), ...newer('function node')]),
  field(9, opset),
  field(14, entry('function')),
  ...newer('function'),
];

const everything = model(
  [
    field(1, onlyNode),
    field(5, weight),
    field(15, sparse),
    field(11, [field(1, 'x'), type('input'), field(4, entry('value')), ...newer('value')]),
    field(12, value('y')),
    field(14, [field(1, 'w'), field(2, entry('quantization annotation'))]),
    field(16, entry('graph')),
    ...newer('graph'),
  ],
  [
    field(14, entry('model')),
    field(20, [field(1, [field(2, 'training')])]),
    field(25, functionFields),
    field(26, [field(1, 'configuration')]),
    ...newer('model'),
  ],
);

describe('a file with newer fields at every level', () => {
  it('keeps each of them byte for byte', async () => {
    const folder = temporaryFolder();
    writeFileSync(joinPath(folder, 'in.onnx'), everything);
    const opened = await openModel(joinPath(folder, 'in.onnx'));
    await saveModel(opened, joinPath(folder, 'out.onnx'));
    const written = readFileSync(joinPath(folder, 'out.onnx'));

    const places = ['model', 'graph', 'node', 'attribute', 'tensor', 'sparse tensor', 'value'];
    const inner = ['type of input', 'tensor type of input', 'opset', 'function', 'function node'];
    const entries = [
      'tensor',
      'node',
      'function',
      'value',
      'graph',
      'model',
      'quantization annotation',
    ];
    for (const place of [...places, ...inner, ...entries.map((name) => `entry of ${name}`)]) {
      for (const bytes of newer(place)) {
        expect(
          written.includes(Buffer.from(bytes)),
          `${place}: ${Buffer.from(bytes).toString('hex')}`,
        ).toBe(true);
      }
    }
    for (const whole of [
      field(20, [field(1, [field(2, 'training')])]),
      field(26, [field(1, 'configuration')]),
      field(10, [field(1, 'device')]),
      field(3, [field(2, 7)]),
    ]) {
      expect(written.includes(Buffer.from(whole))).toBe(true);
    }
    expect(written.length).toBe(everything.length);
    const again = await openModel(joinPath(folder, 'out.onnx'));
    expect(await modelDifference(opened, again)).toBeUndefined();
  });
});
