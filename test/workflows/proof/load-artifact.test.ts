import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { UnsupportedError } from '../../../src/errors.ts';
import type { Model } from '../../../src/ir/model.ts';
import { saveModel } from '../../../src/storage/model-file.ts';
import { requireLoadable } from '../../../src/workflows/proof/load-artifact.ts';
import { floats, model, node, noise, value } from '../../kit/models.ts';
import { temporaryFolder } from '../../kit/temporary-folder.ts';

/** A weight of 16 KiB, then a mean over an axis that is an attribute: the form before opset 18. */
function written(opset: number): Model {
  return model({
    opset,
    nodes: [node('MatMul', ['x', 'w'], 'a'), node('ReduceMean', ['a'], 'y', { axes: [-1n] })],
    initializers: [floats('w', [64, 64], noise(1, 4096))],
    inputs: [value('x', 'float32', ['n', 64])],
    outputs: [value('y', 'float32', ['n', 1])],
  });
}

describe.each([
  ['whole', undefined],
  ['as a small file that points into it', 1000],
])('A file that is loaded %s before it is handed out', (_, limit) => {
  it.each([false, true])('passes when it is sound (external data: %s)', async (isExternal) => {
    const folder = temporaryFolder();
    const path = join(folder, 'artifact.onnx');
    await saveModel(written(17), path, { externalData: isExternal ? 'always' : 'never' });
    const before = readdirSync(folder);
    await expect(requireLoadable(path, limit)).resolves.toBeUndefined();
    expect(readdirSync(folder)).toEqual(before);
  });

  it('is refused in one sentence that names neither temporary file nor folder', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'artifact.onnx');
    await saveModel(written(19), path);
    const attempt = requireLoadable(path, limit);
    await expect(attempt).rejects.toThrow(UnsupportedError);
    const message = await attempt.catch((error: Error) => error.message);
    expect(message).toMatch(
      /^artifact\.onnx: nothing was kept, because onnxruntime cannot load what was written \(got ".*axes.*"\)\. Please report/,
    );
    expect(message).not.toContain(folder);
    expect(message).not.toContain('\n');
  });
});
