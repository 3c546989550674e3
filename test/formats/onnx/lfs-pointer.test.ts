import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FormatError } from '../../../src/errors.ts';
import { openModel, saveModel } from '../../../src/storage/model-file.ts';
import { temporaryFolder } from '../../kit/temporary-folder.ts';
import { filled, sumModel } from './make-model.ts';

const POINTER = `version https://git-lfs.github.com/spec/v1
oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393
size 1234567
`;

describe('a clone without Git LFS', () => {
  it('is named when the pointer stands in place of the model', async () => {
    const path = join(temporaryFolder(), 'model.onnx');
    writeFileSync(path, POINTER);
    await expect(openModel(path)).rejects.toThrow(
      new FormatError(
        `${path}: this is a Git LFS pointer, not the file itself (got ${POINTER.length} bytes of text, expected 1234567 bytes). Run "git lfs pull" in its repository, or download the file.`,
      ),
    );
  });

  it('is named when the pointer stands in place of the weights, with the tensor', async () => {
    const path = join(temporaryFolder(), 'model.onnx');
    await saveModel(sumModel([filled('a', 5000, 1)]), path, { externalData: 'always' });
    writeFileSync(`${path}.data`, POINTER);
    await expect(openModel(path)).rejects.toThrow(
      /tensor "a": model\.onnx\.data is a Git LFS pointer, not the file itself \(got 132 bytes of text, expected 1234567 bytes\)/,
    );
  });

  it('is not suspected where weights merely begin like the word', async () => {
    const path = join(temporaryFolder(), 'model.onnx');
    await saveModel(sumModel([filled('a', 500, 1)]), path, { externalData: 'always' });
    writeFileSync(`${path}.data`, Buffer.alloc(500, 'version https://example.org '));
    expect((await openModel(path)).graph.initializers.size).toBe(1);
  });
});
