import { createHash } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FormatError, UsageError } from '../../src/errors.ts';
import { entryPath, hashArtifact, openArtifact } from '../../src/storage/artifact.ts';
import { saveModel } from '../../src/storage/model-file.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';
import { tinyEncoder } from '../models/tiny-encoder.ts';
import { matMulModel, writeTiny } from '../runners/tiny-models.ts';

describe('openArtifact', () => {
  it('lists the .onnx file and its data, with their lengths, for the file and for its folder', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'onnx', 'model.onnx');
    await saveModel(tinyEncoder(), path, { externalData: 'always', dataFileName: 'weights.bin' });
    const artifact = await openArtifact(folder);
    expect(artifact).toMatchObject({
      kind: 'onnx',
      folder: join(folder, 'onnx'),
      entry: 'model.onnx',
    });
    expect(artifact.files.map(({ file }) => file)).toEqual(['model.onnx', 'weights.bin']);
    expect(artifact.files.every(({ byteLength }) => byteLength > 0)).toBe(true);
    expect(entryPath(artifact)).toBe(path);
    expect(await openArtifact(path)).toEqual(artifact);
  });

  it('reads a file of no known kind as ONNX, and says what is wrong with it', async () => {
    const path = writeTiny(matMulModel(), 'model.pb');
    expect(await openArtifact(path)).toMatchObject({ kind: 'onnx', entry: 'model.pb' });
    const trash = writeTiny(Buffer.from('hello world'), 'trash.bin');
    await expect(openArtifact(trash)).rejects.toThrow(FormatError);
  });

  it('says that a path leads nowhere, or to a folder without a model', async () => {
    const folder = temporaryFolder();
    await expect(openArtifact(join(folder, 'absent'))).rejects.toThrow(
      /absent: there is no such file or folder\. Check the path\./,
    );
    mkdirSync(join(folder, 'empty'));
    await expect(openArtifact(join(folder, 'empty'))).rejects.toThrow(UsageError);
  });
});

it('hashArtifact is the SHA-256 of the lines that sha256sum would print first, in the order of the files', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'b'), 'x');
  writeFileSync(join(folder, 'a'), 'y');
  const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
  const files = ['b', 'a'].map((file) => ({ file, byteLength: 1 }));
  expect(await hashArtifact({ folder, files })).toBe(sha256(`${sha256('x')}\n${sha256('y')}\n`));
});
