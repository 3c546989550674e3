import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { MANIFEST_NAME, readManifest, writeManifest } from '../../src/artifact/manifest.ts';
import { openModelOnDisk } from '../../src/artifact/model-on-disk.ts';
import { FormatError } from '../../src/errors.ts';
import { root } from '../kit/paths.ts';
import { inTemporaryFolder } from '../kit/temporary-folder.ts';

it('a manifest of before targets had one name each reads as onnx; a damaged one names its key', () =>
  inTemporaryFolder(async (folder) => {
    const source = await openModelOnDisk(join(root, 'fixtures/vit-fashion/optimum'));
    const lists = { excluded: [], notes: [], verified: [], notVerified: [] };
    await writeManifest(folder, { target: 'onnx', artifact: 'a.onnx', source, ...lists }, []);
    const path = join(folder, MANIFEST_NAME);
    const text = readFileSync(path, 'utf8');
    writeFileSync(path, text.replace('"target": "onnx"', '"target": "onnxruntime"'));
    expect((await readManifest(folder)).target).toBe('onnx');
    writeFileSync(path, text.replace('"target": "onnx"', '"target": 7'));
    const read = readManifest(folder);
    await expect(read).rejects.toThrow(FormatError);
    await expect(read).rejects.toThrow(/is not a manifest of this version \(target: .*Make the/);
  }));
