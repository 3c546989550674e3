import { type FileHandle, open, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RunnerError } from '../errors.ts';
import { makeTemporaryFolder, removeTemporaryFolder } from '../storage/temporary-folder.ts';
import { elementsFromBytes } from '../values/element-array.ts';
import type { TensorValue } from '../values/tensor-value.ts';

interface Spilled extends Omit<TensorValue, 'data'> {
  readonly offset: number;
  readonly byteLength: number;
}

interface SpoolFile {
  readonly path: string;
  readonly handle: FileHandle;
  end: number;
  /** Takes what is read; grows to the largest value. */
  buffer: Uint8Array;
}

/**
 * Values of many samples that wait for their readers: in memory up to a limit, then in files of the
 * system's temporary folder (`TMPDIR`), one a name, as the bytes are. What comes back is bit-equal.
 */
export class ValueSpool {
  readonly #memoryBytes: number;
  readonly #values = new Map<string, Map<number, TensorValue | Spilled>>();
  readonly #files = new Map<string, SpoolFile>();
  #folder: string | undefined;
  #fileCount = 0;
  #heldBytes = 0;
  #spilledBytes = 0;

  /** Holds at most `memoryBytes` in memory. */
  constructor(memoryBytes: number) {
    this.#memoryBytes = memoryBytes;
  }

  /** Bytes on disk now. */
  get spilledBytes(): number {
    return this.#spilledBytes;
  }

  /** Keeps a value of a sample. Throws {@link RunnerError} when the disk is full. */
  async put(name: string, sample: number, value: TensorValue): Promise<void> {
    const { byteLength } = value.data;
    const fits = this.#heldBytes + byteLength <= this.#memoryBytes;
    const place = fits ? value : await this.#spill(name, value);
    if (fits) this.#heldBytes += byteLength;
    const values = this.#values.get(name);
    if (values === undefined) this.#values.set(name, new Map([[sample, place]]));
    else values.set(sample, place);
  }

  /** Returns a value that was put. It is valid until the next call for the same name. */
  async get(name: string, sample: number): Promise<TensorValue> {
    const place = this.#values.get(name)?.get(sample);
    if (place === undefined) throw new RangeError(`spool: no ${name} of sample ${sample}`);
    if ('data' in place) return place;
    const file = this.#files.get(name)!;
    const { dataType, dims, byteLength, offset } = place;
    if (file.buffer.length < byteLength) file.buffer = new Uint8Array(byteLength);
    const bytes = file.buffer.subarray(0, byteLength);
    await readAll(file, bytes, offset);
    return { dataType, dims, data: elementsFromBytes(dataType, bytes) };
  }

  /** Forgets the value of one sample; what is on disk stays there until {@link dropAll}. */
  drop(name: string, sample: number): void {
    const values = this.#values.get(name);
    const value = values?.get(sample);
    if (value !== undefined && 'data' in value) this.#heldBytes -= value.data.byteLength;
    values?.delete(sample);
  }

  /** Forgets a value of all samples, and removes its file. */
  async dropAll(name: string): Promise<void> {
    for (const sample of this.#values.get(name)?.keys() ?? []) this.drop(name, sample);
    this.#values.delete(name);
    const file = this.#files.get(name);
    if (file === undefined) return;
    this.#files.delete(name);
    this.#spilledBytes -= file.end;
    await file.handle.close();
    await unlink(file.path);
  }

  /** Removes everything. */
  async close(): Promise<void> {
    for (const { handle } of this.#files.values()) await handle.close().catch(() => {});
    this.#files.clear();
    this.#values.clear();
    if (this.#folder !== undefined) await removeTemporaryFolder(this.#folder);
  }

  async #spill(name: string, { dataType, dims, data }: TensorValue): Promise<Spilled> {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    try {
      const file = this.#files.get(name) ?? (await this.#createFile(name));
      await writeAll(file, bytes);
      const offset = file.end;
      file.end += bytes.length;
      this.#spilledBytes += bytes.length;
      return { dataType, dims, offset, byteLength: bytes.length };
    } catch (error) {
      throw describeFailure(this.#spilledBytes + bytes.length, error as NodeJS.ErrnoException);
    }
  }

  async #createFile(name: string): Promise<SpoolFile> {
    this.#folder ??= await makeTemporaryFolder('autoglm-spool-');
    const path = join(this.#folder, `${this.#fileCount++}.bin`);
    const file = { path, handle: await open(path, 'w+'), end: 0, buffer: new Uint8Array(0) };
    this.#files.set(name, file);
    return file;
  }
}

async function writeAll(file: SpoolFile, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const position = file.end + done;
    const { bytesWritten } = await file.handle.write(bytes, done, bytes.length - done, position);
    done += bytesWritten;
  }
}

async function readAll(file: SpoolFile, into: Uint8Array, offset: number): Promise<void> {
  for (let done = 0; done < into.length; ) {
    const { bytesRead } = await file.handle.read(into, done, into.length - done, offset + done);
    if (bytesRead === 0) {
      throw new RunnerError(
        `${file.path}: the file was cut short by another program. Run the command again.`,
      );
    }
    done += bytesRead;
  }
}

function describeFailure(byteLength: number, cause: NodeJS.ErrnoException): Error {
  if (cause.code !== 'ENOSPC' && cause.code !== 'EDQUOT') return cause;
  return new RunnerError(
    `${tmpdir()}: the disk is full (got no room for ${Math.ceil(byteLength / 1e6)} MB of activations). ` +
      'Free some, set TMPDIR to a folder on another disk, or use fewer samples.',
    { cause },
  );
}
