import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { EXIT_CODE, FormatError } from '../../../src/errors.ts';
import { openModel } from '../../../src/storage/model-file.ts';
import { temporaryFolder } from '../../kit/temporary-folder.ts';
import { HOSTILE } from './hostile.ts';

describe('a hostile file gets its sentence', () => {
  it.each(HOSTILE)('$name', async ({ bytes, around, message }) => {
    const parent = temporaryFolder();
    const folder = join(parent, 'model');
    mkdirSync(folder);
    const path = join(folder, 'model.onnx');
    writeFileSync(path, bytes);
    around?.(folder);
    const before = readdirSync(parent, { recursive: true });

    const error = await openModel(path).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(FormatError);
    const { message: found, exitCode } = error as FormatError;
    expect(found.replaceAll(path, '<path>').replaceAll(parent, '<parent>')).toBe(message);
    expect(exitCode).toBe(EXIT_CODE.inputRefused);
    expect(readdirSync(parent, { recursive: true })).toEqual(before);
  });
});
