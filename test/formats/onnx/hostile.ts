/**
 * Damaged and malicious ONNX files with the sentence each must get; `<path>` stands for the
 * model's path. Everything is made here, byte by byte, so that each file is wrong in exactly one
 * way.
 */
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join as joinPath } from 'node:path';
import { addGraph, external, field, join, model, node, tensor, value, varint } from './wire.ts';

/** A case: the bytes of model.onnx, the files around it, and the exact error message. */
export interface HostileCase {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly message: string;
  /** Makes files around the model, or changes it, before it is opened. */
  readonly around?: (folder: string) => void;
}

type Around = HostileCase['around'];

const eight = new Uint8Array(8);
const valid = model(addGraph(tensor('w', 1, [2], eight)));
const io = [field(11, value('x')), field(12, value('y'))];
const text = (content: string): Uint8Array => new TextEncoder().encode(content);

function damaged(name: string, bytes: Uint8Array, at: number, what: string): HostileCase {
  const message = `<path>: this is not a whole ONNX file (at byte ${at} of ${bytes.length}, ${what}). Export or download it again.`;
  return { name, bytes, message };
}

function truncated(name: string, keep: number, at: number, what: string): HostileCase {
  return damaged(`truncated ${name}`, valid.slice(0, keep), at, what);
}

function weight(name: string, fields: readonly Uint8Array[], what: string): HostileCase {
  const message = `<path>: tensor "w": ${what}. Export the model again.`;
  return { name, bytes: model(addGraph(fields)), message };
}

function data(
  name: string,
  entries: readonly Uint8Array[],
  what: string,
  around: Around = (folder) => writeFileSync(joinPath(folder, 'w.bin'), eight),
): HostileCase {
  const bytes = model(addGraph(tensor('w', 1, [2], undefined, entries)));
  return { name, bytes, message: `<path>: tensor "w": ${what}`, around };
}

function location(name: string, path: string): HostileCase {
  const shown = JSON.stringify(path.slice(0, 200));
  const what = `its external data must be a file beside the model (got ${shown}). Move the data beside the model and correct the location.`;
  return data(`location ${name}`, external(path, '0', '8'), what);
}

function graph(name: string, fields: readonly Uint8Array[], what: string): HostileCase {
  return { name, bytes: model(fields), message: `<path>: ${what}. Export the model again.` };
}

/** A type nested in itself: sequence of sequence of ... */
function nestedType(depth: number): Uint8Array {
  let type = field(1, [field(1, 1)]);
  for (let level = 0; level < depth; level++) type = field(4, [field(1, type)]);
  return type;
}

const ends = 'a number is cut off at the end of its message';
const notOnnx = (missing: string): string =>
  `<path>: this is not an ONNX model (it has no ${missing}). Give an .onnx file.`;

const STRUCTURE: readonly HostileCase[] = [
  { name: 'empty file', bytes: new Uint8Array(), message: notOnnx('graph') },
  { name: 'no ir_version', bytes: field(7, [field(2, 'g')]), message: notOnnx('ir_version') },
  damaged('zip archive', text('PK\u0003\u0004 a zip'), 2, 'ModelProto has no field 0'),
  damaged(
    'JSON',
    text('{"a": 1}'),
    0,
    'field 15 of ModelProto has wire type 3, which ONNX never uses',
  ),
  truncated('behind the first tag', 1, 1, ends),
  truncated('inside the length of the graph', 3, 3, ends),
  truncated(
    'inside the graph',
    40,
    2,
    'field graph of ModelProto claims 79 bytes where 36 are left',
  ),
  truncated(
    'in the last field',
    valid.length - 1,
    valid.length - 6,
    'field opsetImport of ModelProto claims 4 bytes where 3 are left',
  ),
  damaged(
    'number of 11 bytes',
    join([field(1, 10), varint(40), new Uint8Array(11).fill(255)]),
    3,
    'a number has more than the 10 bytes that 64 bits take',
  ),
  damaged(
    'tag past 32 bits',
    join([field(1, 10), varint(2n ** 40n)]),
    2,
    'ModelProto has no field 137438953472',
  ),
  damaged(
    'wire type 7',
    join([field(1, 10), varint(7 * 8 + 7)]),
    2,
    'field graph of ModelProto has wire type 7, which ONNX never uses',
  ),
  damaged(
    '32-bit field cut off',
    join([field(1, 10), varint(99 * 8 + 5), eight.slice(0, 3)]),
    2,
    'field 99 of ModelProto is cut off',
  ),
  damaged(
    '64-bit field cut off',
    join([field(1, 10), varint(99 * 8 + 1), eight.slice(0, 7)]),
    2,
    'field 99 of ModelProto is cut off',
  ),
  damaged(
    'node longer than its graph',
    model([join([varint(10), varint(99)])]),
    7,
    'field node of GraphProto claims 99 bytes where 0 are left',
  ),
  damaged(
    'length of 2^63',
    model([join([varint(10), varint(2n ** 63n)])]),
    7,
    'field node of GraphProto claims 9223372036854776000 bytes where 0 are left',
  ),
  damaged(
    'name that is not UTF-8',
    model([field(2, Uint8Array.of(0xc3, 0x28))]),
    7,
    'the string name is not UTF-8',
  ),
  damaged(
    'reserved field',
    model(addGraph(tensor('w', 1, [2], eight, [field(19000, eight)]))),
    49,
    'TensorProto uses field 19000, which protobuf reserves',
  ),
  damaged(
    'deep nesting',
    model([field(11, [field(1, 'x'), field(2, nestedType(60))])]),
    271,
    'messages are nested deeper than 100',
  ),
  damaged(
    '9 million attribute values',
    model([
      field(1, node('A', [], ['y'], [field(5, [field(1, 'a'), field(8, new Uint8Array(9e6))])])),
    ]),
    34,
    'the structure has more than 8000000 items',
  ),
  damaged(
    '1.1 million empty nodes',
    model(new Array(1_100_000).fill(field(1, []))),
    2000008,
    'the structure has more than 1000000 messages',
  ),
  {
    name: 'list with a number of 11 bytes',
    bytes: model(
      addGraph(tensor('w', 7, [2], undefined, [field(7, new Uint8Array(11).fill(255))])),
    ),
    message:
      '<path>: this is not a whole ONNX file (a list of numbers is damaged). Export or download it again.',
  },
  {
    name: 'list cut off inside a number',
    bytes: model(addGraph(tensor('w', 1, [], eight, [field(1, Uint8Array.of(0x80))]))),
    message:
      '<path>: this is not a whole ONNX file (a list of numbers is damaged). Export or download it again.',
  },
  {
    name: 'documentation of 200 MB',
    bytes: join([field(1, 10), varint(6 * 8 + 2), varint(200e6)]),
    around: (folder) => truncateSync(joinPath(folder, 'model.onnx'), 200e6 + 7),
    message:
      '<path>: this is not a whole ONNX file (at byte 2 of 200000007, the structure without tensors is larger than 134217728 bytes). Export or download it again.',
  },
];

const huge = 2n ** 62n;
const long = new Uint8Array(5000);

const TENSORS: readonly HostileCase[] = [
  weight(
    'dims of 2^62',
    tensor('w', 1, [huge], eight),
    'a dimension: the number is out of range (got 4611686018427388000, expected 0 to 2^53)',
  ),
  weight(
    'dims whose product overflows',
    tensor('w', 1, [2 ** 40, 2 ** 40, 2 ** 40], eight),
    'dims [1099511627776,1099511627776,1099511627776] ask for more than 281474976710656 elements',
  ),
  weight(
    'negative dim',
    tensor('w', 1, [-2], eight),
    'a dimension: the number is out of range (got -2, expected 0 to 2^53)',
  ),
  weight(
    '65 dimensions',
    tensor('w', 1, new Array(65).fill(1), eight),
    'it has too many dimensions (got 65, expected at most 64)',
  ),
  weight(
    'dims larger than the data',
    tensor('w', 1, [2 ** 40], eight),
    'its data has the wrong length (got 8 bytes, expected 4398046511104)',
  ),
  weight(
    'no data',
    tensor('w', 1, [2], undefined),
    'its data has the wrong length (got 0 bytes, expected 8)',
  ),
  weight('no element type', tensor('w', 0, [2], eight), 'it has no element type (data_type is 0)'),
  weight(
    'negative element type',
    tensor('w', -3, [2], eight),
    'it has no element type (data_type is -3)',
  ),
  weight(
    'floats in int64_data',
    tensor('w', 1, [1], undefined, [field(7, 5)]),
    'elements of type float32 cannot be in int64Data',
  ),
  weight(
    'data in two fields',
    tensor('w', 7, [1], eight, [field(7, 5)]),
    'it has data twice (rawData and int64Data)',
  ),
  weight(
    'data inside and outside',
    tensor('w', 1, [2], eight, external('w.bin')),
    'it has data both inside and outside the file',
  ),
  weight(
    'too few strings',
    tensor('w', 8, [2], undefined, [field(6, 'a')]),
    'dims [2] ask for 2 strings (got 1)',
  ),
  weight(
    'large data in two parts',
    tensor('w', 2, [5000], long, [field(9, long)]),
    'its rawData is split into 2 parts',
  ),
  weight(
    'large data of the wrong length',
    tensor('w', 2, [5001], long),
    'its data has the wrong length (got 5000 bytes, expected 5001)',
  ),
];

const EXTERNAL: readonly HostileCase[] = [
  location('absolute', '/etc/passwd'),
  location('above the model', '../w.bin'),
  location('above the model by a detour', 'a/../../w.bin'),
  location('above the model, Windows spelling', 'a\\..\\..\\w.bin'),
  location('on a drive', 'C:\\w.bin'),
  location('on a server', '\\\\server\\w.bin'),
  location('empty', ''),
  location('with NUL', 'w.bin\0.txt'),
  location('of 5,000 characters', 'w'.repeat(5000)),
  data(
    'missing file',
    external('none.bin'),
    'its data none.bin is missing. Put the file beside the model.',
  ),
  data(
    'symbolic link out of the folder',
    external('w.bin'),
    "its data w.bin is a link out of the model's folder (got <parent>/secret.bin). Put the data beside the model.",
    (folder) => {
      writeFileSync(joinPath(folder, '..', 'secret.bin'), eight);
      symlinkSync('../secret.bin', joinPath(folder, 'w.bin'));
    },
  ),
  data(
    'symbolic link of a folder',
    external('sub/secret.bin'),
    "its data sub/secret.bin is a link out of the model's folder (got <parent>/secret.bin). Put the data beside the model.",
    (folder) => {
      writeFileSync(joinPath(folder, '..', 'secret.bin'), eight);
      symlinkSync('..', joinPath(folder, 'sub'));
    },
  ),
  data(
    'folder as data',
    external('w.bin'),
    'its data w.bin is not a regular file. Put the data beside the model.',
    (folder) => mkdirSync(joinPath(folder, 'w.bin')),
  ),
  data(
    'offset past the end',
    external('w.bin', '1', '8'),
    'its data passes the end of w.bin (got 8 bytes at 1, expected at most 8 in all). Fetch the file again; it looks cut off.',
  ),
  data(
    'offset past the end, no length',
    external('w.bin', '9007199254740991'),
    'its data passes the end of w.bin (got 8 bytes at 9007199254740991, expected at most 8 in all). Fetch the file again; it looks cut off.',
  ),
  data(
    'negative offset',
    external('w.bin', '-1', '8'),
    'the offset of its external data is not a byte count (got "-1"). Export the model again.',
  ),
  data(
    'offset that is no number',
    external('w.bin', '1e3', '8'),
    'the offset of its external data is not a byte count (got "1e3"). Export the model again.',
  ),
  data(
    'offset past 2^53',
    external('w.bin', '9007199254740993', '8'),
    'the offset of its external data is not a byte count (got "9007199254740993"). Export the model again.',
  ),
  data(
    'wrong length',
    external('w.bin', '0', '4'),
    'its external data has the wrong length (got 4 bytes, expected 8). Export the model again.',
  ),
];

const attribute = (...fields: readonly Uint8Array[]): Uint8Array => field(5, fields);
const identity = (from: string, to: string): Uint8Array => field(1, node('Identity', [from], [to]));
const branch = [field(2, 'b'), identity('nowhere', 'z'), field(12, value('z'))];

const GRAPHS: readonly HostileCase[] = [
  graph(
    'cycle of two',
    [identity('b', 'a'), identity('a', 'b'), ...io],
    'nodes depend on themselves (identity_b -> identity_a -> identity_b)',
  ),
  graph(
    'node that reads itself',
    [identity('y', 'y'), ...io],
    'nodes depend on themselves (identity_y -> identity_y)',
  ),
  graph(
    'two nodes make a value',
    [identity('x', 'y'), identity('x', 'y'), ...io],
    'two nodes make the value "y"',
  ),
  graph(
    'node makes an input',
    [identity('x', 'x'), identity('x', 'y'), ...io],
    'nodes depend on themselves (identity_x -> identity_x)',
  ),
  graph(
    'node makes an initializer',
    [identity('x', 'w'), identity('w', 'y'), field(5, tensor('w', 1, [2], eight)), ...io],
    'the value "w" is defined twice',
  ),
  graph(
    'input twice',
    [identity('x', 'y'), field(11, value('x')), ...io],
    'the value "x" is defined twice',
  ),
  graph(
    'initializer twice',
    [...addGraph(tensor('w', 1, [2], eight)), field(5, tensor('w', 1, [2], eight))],
    'two initializers are named "w"',
  ),
  graph(
    'initializer without name',
    addGraph(tensor('', 1, [2], eight)),
    'an initializer has no name',
  ),
  graph(
    'value from nowhere',
    [identity('z', 'y'), ...io],
    'node "identity_y" (Identity) reads "z", which nothing makes',
  ),
  graph('output from nowhere', io, 'an output reads "y", which nothing makes'),
  graph(
    'value from nowhere in a branch',
    [
      field(
        1,
        node(
          'If',
          ['x'],
          ['y'],
          [attribute(field(1, 'then_branch'), field(6, branch), field(20, 5))],
        ),
      ),
      ...io,
    ],
    'subgraph of "if_y" (If): node "identity_z" (Identity) reads "nowhere", which nothing makes',
  ),
  graph(
    'node without op_type',
    [field(1, [field(1, 'x'), field(2, 'y')]), ...io],
    'node "" (): it has no op_type',
  ),
  graph(
    'attribute twice',
    [
      field(
        1,
        node(
          'A',
          ['x'],
          ['y'],
          [
            attribute(field(1, 'a'), field(3, 1), field(20, 2)),
            attribute(field(1, 'a'), field(3, 1), field(20, 2)),
          ],
        ),
      ),
      ...io,
    ],
    'node "a_y" (A): attribute "a" is given twice',
  ),
  graph(
    'attribute of another type',
    [
      field(1, node('A', ['x'], ['y'], [attribute(field(1, 'a'), field(3, 1), field(20, 3))])),
      ...io,
    ],
    'node "a_y" (A): attribute "a": its value does not fit its type (i with type 3)',
  ),
  graph(
    'attribute without its graph',
    [field(1, node('A', ['x'], ['y'], [attribute(field(1, 'a'), field(20, 5))])), ...io],
    'node "a_y" (A): attribute "a": it has no graph',
  ),
  {
    name: 'function that depends on itself',
    bytes: model(
      [identity('x', 'y'), ...io],
      [
        field(25, [
          field(1, 'f'),
          field(5, 'b'),
          field(7, node('Identity', ['b'], ['a'])),
          field(7, node('Identity', ['a'], ['b'])),
        ]),
      ],
    ),
    message:
      '<path>: function f: nodes depend on themselves (identity_b -> identity_a -> identity_b). Export the model again.',
  },
];

/** The hostile set. */
export const HOSTILE: readonly HostileCase[] = [...STRUCTURE, ...TENSORS, ...EXTERNAL, ...GRAPHS];
