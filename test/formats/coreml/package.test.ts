import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FormatError } from '../../../src/errors.ts';
import {
  type MilModel,
  type MilOperation,
  type MilValue,
  milText,
} from '../../../src/formats/coreml/mil.ts';
import { validateMil } from '../../../src/formats/coreml/validate.ts';
import { inlineSource } from '../../../src/ir/tensor.ts';
import { readFolder, writePackage } from '../../kit/coreml-package.ts';
import { inTemporaryFolder } from '../../kit/temporary-folder.ts';

const WEIGHT = Uint16Array.from({ length: 12 }, (_, index) => 0x3c00 + index);

function constant(name: string, value: MilValue): MilOperation {
  return {
    type: 'const',
    inputs: new Map(),
    attributes: new Map([
      ['name', milText(name)],
      ['val', value],
    ]),
    outputs: [{ name, type: value.type }],
  };
}

function operation(
  type: string,
  inputs: Record<string, string>,
  name: string,
  dims: number[],
  dataType: 'fp16' | 'bool' = 'fp16',
): MilOperation {
  return {
    type,
    inputs: new Map(Object.entries(inputs).map(([key, value]) => [key, [value]])),
    attributes: new Map([['name', milText(name)]]),
    outputs: [{ name, type: { dataType, dims } }],
  };
}

/** y = relu(x W^T + b), W [4, 3] in the weight file, b in place. */
function small(): MilModel {
  const weight: MilValue = {
    type: { dataType: 'fp16', dims: [4, 3] },
    data: { kind: 'blob', source: inlineSource(new Uint8Array(WEIGHT.buffer), 'w') },
  };
  const bias: MilValue = {
    type: { dataType: 'fp16', dims: [4] },
    data: { kind: 'numbers', numbers: [1, 2, 3, 4] },
  };
  return {
    specificationVersion: 7,
    inputs: [{ name: 'x', dataType: 'fp16', shape: [2, 3] }],
    outputs: [{ name: 'y', dataType: 'fp16', shape: [2, 4] }],
    functions: [
      {
        name: 'main',
        inputs: [{ name: 'x', type: { dataType: 'fp16', dims: [2, 3] } }],
        operations: [
          constant('w', weight),
          constant('b', bias),
          operation('linear', { x: 'x', weight: 'w', bias: 'b' }, 'z', [2, 4]),
          operation('relu', { x: 'z' }, 'y', [2, 4]),
        ],
        outputs: ['y'],
      },
    ],
    metadata: { userDefined: new Map([['a', 'b']]) },
  };
}

/** The small program with its operations, or other parts, replaced. */
function changed(
  change: (operations: MilOperation[]) => MilOperation[],
  parts: Partial<MilModel> = {},
  outputs = ['y'],
): MilModel {
  const model = small();
  const [main] = model.functions;
  return {
    ...model,
    ...parts,
    functions: [{ ...main!, outputs, operations: change([...main!.operations]) }],
  };
}

describe('a Core ML package', () => {
  it('is read again as it was written', () =>
    inTemporaryFolder(async (folder) => {
      const model = small();
      await writePackage(model, folder);
      const again = await readFolder(folder);
      const stored = again.functions[0]!.operations[0]!.attributes.get('val')!.data;
      if (stored.kind !== 'blob') throw new Error('the weight is not in the file');
      const bytes = new Uint8Array(24);
      await stored.source.read(bytes, 0);
      expect(new Uint16Array(bytes.buffer)).toEqual(WEIGHT);
      const shape = ({ functions, ...rest }: MilModel) => ({
        ...rest,
        operations: functions[0]!.operations.slice(1),
      });
      expect(shape(again)).toEqual(shape(model));
    }));

  it('keeps weights behind a record of 64 bytes at a multiple of 64', () =>
    inTemporaryFolder(async (folder) => {
      await writePackage(small(), folder);
      const bytes = readFileSync(join(folder, 'Data/com.apple.CoreML/weights/weight.bin'));
      expect(bytes.length).toBe(128 + 24);
      expect([bytes.readUInt32LE(0), bytes.readUInt32LE(4)]).toEqual([1, 2]);
      expect([bytes.readUInt32LE(64), bytes.readUInt32LE(68)]).toEqual([0xdeadbeef, 1]);
      expect([
        bytes.readBigUInt64LE(72),
        bytes.readBigUInt64LE(80),
        bytes.readBigUInt64LE(88),
      ]).toEqual([24n, 128n, 0n]);
      expect(bytes.subarray(128)).toEqual(Buffer.from(WEIGHT.buffer));
      const manifest = JSON.parse(readFileSync(join(folder, 'Manifest.json'), 'utf8'));
      expect(manifest.itemInfoEntries[manifest.rootModelIdentifier].path).toBe(
        'com.apple.CoreML/model.mlmodel',
      );
      expect(manifest.rootModelIdentifier).toMatch(/^[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}$/);
    }));

  const WEIGHTS = 'Data/com.apple.CoreML/weights/weight.bin';
  const patch = (at: number, value: number) => (folder: string) => {
    const path = join(folder, WEIGHTS);
    const bytes = readFileSync(path);
    bytes.writeUInt32LE(value, at);
    writeFileSync(path, bytes);
  };
  it.each<[string, (folder: string) => void, RegExp]>([
    [
      'a manifest that is no JSON',
      (folder) => writeFileSync(join(folder, 'Manifest.json'), '{'),
      /not JSON/,
    ],
    [
      'a manifest without a root',
      (folder) =>
        writeFileSync(
          join(folder, 'Manifest.json'),
          '{"fileFormatVersion":"1.0.0","itemInfoEntries":{},"rootModelIdentifier":""}',
        ),
      /names no root model/,
    ],
    [
      'a manifest that leads outside',
      (folder) => {
        const path = join(folder, 'Manifest.json');
        writeFileSync(
          path,
          readFileSync(path, 'utf8').replace(
            'com.apple.CoreML/model.mlmodel',
            '../../../etc/passwd',
          ),
        );
      },
      /.+/,
    ],
    [
      'a model that is cut off',
      (folder) => truncateSync(join(folder, 'Data/com.apple.CoreML/model.mlmodel'), 100),
      /.+/,
    ],
    [
      'a weight file that is cut off',
      (folder) => truncateSync(join(folder, WEIGHTS), 140),
      /points outside/,
    ],
    ['another storage version', patch(4, 1), /storage version/],
    ['a record without its mark', patch(64, 0), /no record begins/],
    ['a record of another type', patch(68, 2), /another type/],
    ['a record of another size', patch(72, 22), /another size/],
    ['a header that counts too many', patch(0, 2), /fewer tensors/],
  ])('is refused with %s', (_, damage, sentence) =>
    inTemporaryFolder(async (folder) => {
      await writePackage(small(), folder);
      damage(folder);
      const read = readFolder(folder);
      await expect(read).rejects.toThrow(FormatError);
      await expect(readFolder(folder)).rejects.toThrow(sentence);
    }),
  );

  it('is refused or read, never a defect, whichever byte of its structure is changed', () =>
    inTemporaryFolder(async (folder) => {
      await writePackage(small(), folder);
      const path = join(folder, 'Data/com.apple.CoreML/model.mlmodel');
      const bytes = readFileSync(path);
      let refused = 0;
      for (let at = 0; at < bytes.length; at++) {
        const mutant = Buffer.from(bytes);
        mutant[at] = (mutant[at]! ^ (1 + ((at * 7) % 255))) & 0xff;
        writeFileSync(path, mutant);
        try {
          validateMil(await readFolder(folder));
        } catch (error) {
          expect(error).toBeInstanceOf(FormatError);
          refused++;
        }
      }
      expect(refused).toBeGreaterThan(bytes.length / 4);
    }));
});

describe('the rules of a program', () => {
  it('hold for a right one', () => {
    expect(validateMil(small())).toEqual([]);
  });

  const without = (name: string) => (operations: MilOperation[]) =>
    operations.map((one) => ({
      ...one,
      inputs: new Map([...one.inputs].filter(([key]) => key !== name)),
    }));
  const output =
    (index: number, of: Partial<MilOperation['outputs'][number]>) => (operations: MilOperation[]) =>
      operations.map((one, at) =>
        at === index ? { ...one, outputs: [{ ...one.outputs[0]!, ...of }] } : one,
      );
  const wide = { dataType: 'fp32' as const, dims: [4] };
  it.each<[string, MilModel, string, RegExp]>([
    [
      'an operator that is not known',
      changed(([w, b, l, r]) => [w!, b!, l!, { ...r!, type: 'rms_norm' }]),
      'V5',
      /no operator/,
    ],
    ['a missing parameter', changed(without('bias')), 'V5', /lacks bias/],
    [
      'an unknown parameter',
      changed((all) =>
        all.map((one) =>
          one.type === 'relu'
            ? { ...one, inputs: new Map([...one.inputs, ['alpha', ['b']]]) }
            : one,
        ),
      ),
      'V5',
      /has alpha/,
    ],
    [
      'a wrong declared shape',
      changed(output(2, { type: { dataType: 'fp16', dims: [2, 5] } })),
      'V6',
      /declares z/,
    ],
    [
      'a wrong declared type',
      changed(output(3, { type: { dataType: 'fp32', dims: [2, 4] } })),
      'V6',
      /declares y/,
    ],
    [
      'a value that is read before it is made',
      changed(([w, b, l, r]) => [w!, b!, r!, l!]),
      'V4',
      /nothing before it makes/,
    ],
    ['a name that is taken', changed(output(2, { name: 'w' })), 'V4', /defined twice/],
    ['an illegal name', changed(output(2, { name: 'a/b' })), 'V4', /no identifier/],
    ['a reserved name', changed(output(2, { name: 'tensor' })), 'V4', /word of the language/],
    [
      'an output that is an input',
      changed((all) => all, { outputs: [{ name: 'x', dataType: 'fp16', shape: [2, 3] }] }, ['x']),
      'V4',
      /is an input/,
    ],
    [
      'an output that is a constant',
      changed((all) => all, { outputs: [{ name: 'b', dataType: 'fp16', shape: [4] }] }, ['b']),
      'V4',
      /is a constant/,
    ],
    [
      'mixed element types',
      changed((all) =>
        all.map((one, at) =>
          at === 1
            ? constant('b', { type: wide, data: { kind: 'numbers', numbers: [1, 2, 3, 4] } })
            : one,
        ),
      ),
      'V5',
      /mixes/,
    ],
    [
      'a const of another type than it declares',
      changed(output(1, { type: wide })),
      'V6',
      /its value is/,
    ],
    [
      'a number that fp16 cannot hold',
      changed((all) =>
        all.map((one, at) =>
          at === 1
            ? constant('b', {
                type: { dataType: 'fp16', dims: [4] },
                data: { kind: 'numbers', numbers: [1, 2, 3, -Infinity] },
              })
            : one,
        ),
      ),
      'V12',
      /fp16 cannot/,
    ],
    [
      'an interface with another shape',
      changed((all) => all, { inputs: [{ name: 'x', dataType: 'fp16', shape: [3, 3] }] }),
      'V8',
      /has shape/,
    ],
    [
      'an interface with another name',
      changed((all) => all, { inputs: [{ name: 'input', dataType: 'fp16', shape: [2, 3] }] }),
      'V8',
      /other inputs/,
    ],
    ['an fp16 interface before iOS 16', { ...small(), specificationVersion: 6 }, 'V8', /iOS 16/],
    [
      'a range without an end',
      changed((all) => all, {
        inputs: [
          {
            name: 'x',
            dataType: 'fp16',
            shape: [2, 3],
            ranges: [
              [1, -1],
              [3, 3],
            ],
          },
        ],
      }),
      'V9',
      /upper bound/,
    ],
    [
      'a default outside its range',
      changed((all) => all, {
        inputs: [
          {
            name: 'x',
            dataType: 'fp16',
            shape: [2, 3],
            ranges: [
              [4, 8],
              [3, 3],
            ],
          },
        ],
      }),
      'V9',
      /outside its range/,
    ],
    ['no output', changed((all) => all, { outputs: [] }, []), 'V8', /no output/],
  ])('find %s', (_, model, rule, sentence) => {
    const found = validateMil(model);
    expect(found.map((one) => one.rule)).toContain(rule);
    expect(found.map(({ where, message }) => `${where} ${message}`).join('\n')).toMatch(sentence);
  });

  it('find a rank of 6, a scalar choice and an empty part', () => {
    const rules = (operations: MilOperation[]) =>
      validateMil(changed((all) => [...all, ...operations]))
        .map(({ message }) => message)
        .join('\n');
    expect(rules([operation('identity', { x: 'z' }, 'deep', [1, 1, 1, 1, 2, 4])])).toMatch(
      /rank 6/,
    );
    expect(
      rules([
        operation('less', { x: 'z', y: 'y' }, 'c', [2, 4], 'bool'),
        operation('select', { cond: 'c', a: 'z', b: 'b' }, 's', [2, 4]),
      ]),
    ).toMatch(/need one shape/);
    const empty = constant('e', {
      type: { dataType: 'fp16', dims: [2, 0] },
      data: { kind: 'numbers', numbers: [] },
    });
    const scalar = (name: string, dataType: 'int32' | 'bool', value: number) =>
      constant(name, { type: { dataType, dims: [] }, data: { kind: 'numbers', numbers: [value] } });
    const joined: MilOperation = {
      ...operation('concat', { axis: 'axis', interleave: 'interleave' }, 'j', [2, 4]),
      inputs: new Map([
        ['values', ['z', 'e']],
        ['axis', ['axis']],
        ['interleave', ['interleave']],
      ]),
    };
    expect(
      rules([empty, scalar('axis', 'int32', 1), scalar('interleave', 'bool', 0), joined]),
    ).toMatch(/empty/);
  });
});
