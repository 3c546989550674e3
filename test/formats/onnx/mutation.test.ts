import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FormatError } from '../../../src/errors.ts';
import { readOnnxModel } from '../../../src/formats/onnx/read.ts';
import { writeOnnxModel } from '../../../src/formats/onnx/write.ts';
import type { Model } from '../../../src/ir/model.ts';
import { root } from '../../kit/paths.ts';
import { memoryFile, memoryFolder, NO_FILES } from './memory-files.ts';
import { modelDifference } from './model-difference.ts';

const FIXTURES = ['subgraphs', 'functions', 'typed-fields', 'sparse', 'metadata'];

/** A mutation: where, as a fraction of the file, and what happens there. */
const mutation = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }),
  kind: fc.constantFrom('flip', 'set', 'insert', 'delete', 'truncate', 'repeat'),
  byte: fc.integer({ min: 0, max: 255 }),
  length: fc.integer({ min: 1, max: 40 }),
});

type Mutation = typeof mutation extends fc.Arbitrary<infer M> ? M : never;

function mutate(bytes: Uint8Array, { at, kind, byte, length }: Mutation): Uint8Array {
  const index = Math.floor(at * bytes.length);
  const head = bytes.subarray(0, index);
  const tail = bytes.subarray(index);
  switch (kind) {
    case 'flip':
      return Buffer.concat(
        [head, [(tail[0] ?? 0) ^ (1 << (byte % 8))], tail.subarray(1)].map(toBytes),
      );
    case 'set':
      return Buffer.concat([head, [byte], tail.subarray(1)].map(toBytes));
    case 'insert':
      return Buffer.concat([head, [byte], tail].map(toBytes));
    case 'delete':
      return Buffer.concat([head, tail.subarray(length)]);
    case 'truncate':
      return head;
    default:
      return Buffer.concat([head, tail.subarray(0, length), tail]);
  }
}

function toBytes(part: Uint8Array | number[]): Uint8Array {
  return Uint8Array.from(part);
}

async function differenceAfterWriting(model: Model): Promise<string | undefined> {
  const output = memoryFolder();
  const names = { modelFile: 'm.onnx', dataFile: 'm.onnx.data' };
  await writeOnnxModel(model, output, { ...names, externalData: 'never' });
  const copy = await readOnnxModel(memoryFile(output.files().get('m.onnx')!), NO_FILES);
  return modelDifference(model, copy);
}

describe.each(FIXTURES)('mutations of %s', (name) => {
  const bytes = readFileSync(join(root, `fixtures/onnx/${name}.onnx`));

  it('are read, and written again equal, or refused with a FormatError, quickly', async () => {
    let refused = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 4 }), async (mutations) => {
        const file = memoryFile(mutations.reduce(mutate, bytes));
        const started = performance.now();
        const read = await readOnnxModel(file, NO_FILES).catch((thrown: unknown) => thrown);
        expect(performance.now() - started).toBeLessThan(2000);
        if (read instanceof Error) {
          expect(read).toBeInstanceOf(FormatError);
          expect(read.message).toMatch(/^\/model\.onnx: \P{Cc}+\.$/u);
          refused += 1;
        } else {
          expect(await differenceAfterWriting(read as Model)).toBeUndefined();
        }
      }),
      { numRuns: 400, seed: 1 },
    );
    // Both ways must really occur, or the mutations miss what they are for.
    expect(refused).toBeGreaterThan(40);
    expect(refused).toBeLessThan(400);
  });
});
