/** The files of an `.mlpackage`, and how they are written and read. */
import type { ByteSource, ExternalFiles } from '../bytes.ts';
import { decodeModel } from './decode.ts';
import { encodeModel, WEIGHT_FILE } from './encode.ts';
import type { ModelMessage } from './messages.ts';
import type { MilModel, MilValue } from './mil.ts';
import { refuseCoreml } from './refuse.ts';
import { decodeCoremlMessage, encodeCoremlMessage } from './schema.ts';
import {
  layOutWeights,
  readStored,
  type WeightLayout,
  walkWeights,
  weightBytes,
} from './weight-file.ts';

const MANIFEST = 'Manifest.json';
const MODEL = 'Data/com.apple.CoreML/model.mlmodel';
const WEIGHTS = 'Data/com.apple.CoreML/weights/weight.bin';

/** Structure stays in memory; a program of 20,000 operations has some 10 MB of it. */
const MAX_STRUCTURE_BYTES: number = 32 * 2 ** 20;
const MAX_MANIFEST_BYTES = 65_536;

/** One file of a package: its exact length, and its bytes when somebody writes them. */
export interface PackageFile {
  /** Path inside the package, with `/`. */
  readonly name: string;
  readonly byteLength: number;
  /** Returns the bytes from the start; each piece is valid until the next is asked for. */
  read(): AsyncIterable<Uint8Array>;
}

/**
 * Returns the files of a package, in the order in which they should be written. Nothing but structure is in
 * memory; constants are pulled when `weight.bin` is written. The same model gives the same bytes: the
 * identifiers in the manifest are a hash of the structure.
 */
export function packageFiles(model: MilModel): readonly PackageFile[] {
  const layout = layOutWeights(storedValues(model));
  const structure = encodeCoremlMessage('Model', encodeModel(model, offsetIn(layout)));
  const hasWeights = layout.tensors.length > 0;
  const manifest = new TextEncoder().encode(manifestOf(structure, hasWeights));
  const weights: PackageFile = {
    name: WEIGHTS,
    byteLength: layout.byteLength,
    read: () => weightBytes(layout),
  };
  return [
    ...(hasWeights ? [weights] : []),
    inMemory(MODEL, structure),
    inMemory(MANIFEST, manifest),
  ];
}

function inMemory(name: string, bytes: Uint8Array): PackageFile {
  return {
    name,
    byteLength: bytes.length,
    async *read() {
      yield bytes;
    },
  };
}

function offsetIn(layout: WeightLayout): (value: MilValue) => number {
  return (value) => layout.offsets.get(value) ?? 0;
}

/** Constants in the order of coremltools: by operation, then by parameter. */
function* storedValues({ functions }: MilModel): Generator<MilValue> {
  for (const { operations } of functions) {
    for (const { attributes, inputs } of operations) {
      yield* attributes.values();
      for (const list of inputs.values()) {
        for (const argument of list) if (typeof argument !== 'string') yield argument;
      }
    }
  }
}

function manifestOf(structure: Uint8Array, hasWeights: boolean): string {
  const model = identifier(structure, 1);
  const entry = (path: string, description: string): object => ({
    author: 'com.apple.CoreML',
    description,
    name: path.split('/').at(-1),
    path,
  });
  const entries = {
    [model]: entry('com.apple.CoreML/model.mlmodel', 'CoreML Model Specification'),
    ...(hasWeights && {
      [identifier(structure, 2)]: entry('com.apple.CoreML/weights', 'CoreML Model Weights'),
    }),
  };
  const manifest = {
    fileFormatVersion: '1.0.0',
    itemInfoEntries: entries,
    rootModelIdentifier: model,
  };
  return `${JSON.stringify(manifest, undefined, 4)}\n`;
}

/** A UUID (version 8) that names content: four FNV-1a lanes with different starts. */
function identifier(bytes: Uint8Array, salt: number): string {
  const lanes = [0, 1, 2, 3].map((lane) => {
    let hash = (0x811c9dc5 ^ Math.imul(salt * 4 + lane + 1, 0x9e3779b1)) >>> 0;
    for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
    return (hash >>> 0).toString(16).padStart(8, '0');
  });
  const hex = lanes.join('').toUpperCase();
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-A${hex.slice(17, 20)}-${hex.slice(20)}`;
}

/**
 * Returns the model of a package. Constants in `weight.bin` stay there until somebody reads them. `name`
 * stands for the package in messages. Throws FormatError for anything damaged, absurd or outside the package.
 */
export async function readPackage(files: ExternalFiles, name: string): Promise<MilModel> {
  const manifest = files.open(MANIFEST, name);
  const path = modelPath(await readAll(manifest, MAX_MANIFEST_BYTES, name), name);
  const structure = await readAll(files.open(path, name), MAX_STRUCTURE_BYTES, name);
  let message: ModelMessage;
  try {
    message = decodeCoremlMessage('Model', structure);
  } catch (error) {
    return refuseCoreml(`${name}: ${path}`, 'is damaged', { cause: error });
  }
  let weights: ByteSource | undefined;
  return decodeModel(message, name, (type, fileName, offset) => {
    if (fileName !== WEIGHT_FILE) {
      refuseCoreml(
        name,
        `keeps constants in another file (got ${fileName}, expected ${WEIGHT_FILE})`,
      );
    }
    if (weights === undefined) {
      weights = files.open(WEIGHTS, name);
      walkWeights(weights);
    }
    return { kind: 'blob', source: readStored(weights, { type }, offset) };
  });
}

async function readAll(file: ByteSource, most: number, name: string): Promise<Uint8Array> {
  if (file.byteLength > most) {
    refuseCoreml(
      `${name}: ${file.path}`,
      `is too large (got ${file.byteLength}, expected at most ${most} bytes)`,
    );
  }
  const bytes = new Uint8Array(file.byteLength);
  await file.read(bytes, 0);
  return bytes;
}

function modelPath(bytes: Uint8Array, name: string): string {
  const where = `${name}: ${MANIFEST}`;
  let manifest: unknown;
  try {
    manifest = JSON.parse(new TextDecoder().decode(bytes));
  } catch (error) {
    return refuseCoreml(where, 'is not JSON', { cause: error });
  }
  const { fileFormatVersion, itemInfoEntries, rootModelIdentifier } = Object(manifest) as Record<
    string,
    unknown
  >;
  if (fileFormatVersion !== '1.0.0')
    refuseCoreml(where, `is of another version (got ${fileFormatVersion}, expected 1.0.0)`);
  const entries = Object(itemInfoEntries) as Record<string, unknown>;
  for (const entry of Object.values(entries)) {
    const fields = Object(entry) as Record<string, unknown>;
    for (const key of ['path', 'name', 'author', 'description']) {
      if (typeof fields[key] !== 'string') refuseCoreml(where, `has an entry without ${key}`);
    }
  }
  const root = Object(entries[String(rootModelIdentifier)]) as Record<string, unknown>;
  if (typeof root['path'] !== 'string') {
    refuseCoreml(where, 'names no root model (rootModelIdentifier matches no entry)');
  }
  return `Data/${root['path']}`;
}
