import type { Model } from '../../ir/model.ts';
import type { ByteSource, ExternalFiles } from '../bytes.ts';
import { cutPayloads } from './cut-payloads.ts';
import { ExternalData } from './external-data.ts';
import { bigintFromInt64, type ModelMessage } from './messages.ts';
import { readDocumented, readSize } from './read-common-fields.ts';
import { readFunction, readGraph, readOpsetImports } from './read-graph.ts';
import { refuse } from './refuse.ts';
import { refuseLfsPointer } from './refuse-lfs-pointer.ts';
import { decodeMessage } from './schema.ts';
import { verifyNames } from './verify-names.ts';
import { WireError } from './wire-cursor.ts';

/**
 * Returns the model in an ONNX file (ModelProto, any IR version). Weights stay where they lie: a
 * tensor larger than 4 KiB becomes a lazy source over `file` or over external data in `folder`.
 * `name` stands for the file in messages and in `storage` (its path by default). Throws FormatError
 * for everything that is damaged, absurd or reaches outside the folder.
 */
export async function readOnnxModel(
  file: ByteSource,
  folder: ExternalFiles,
  name: string = file.path,
): Promise<Model> {
  refuseLfsPointer(file, 'this', name);
  const message = readMessage(file, name);
  const { graph } = message;
  if (graph === undefined || message.irVersion === undefined) {
    const missing = graph === undefined ? 'graph' : 'ir_version';
    refuse(name, `this is not an ONNX model (it has no ${missing})`, 'Give an .onnx file.');
  }
  const external = new ExternalData(folder);
  const files = { model: file, external };
  const model: Omit<Model, 'storage'> = {
    irVersion: readSize(message.irVersion, `${name}: ir_version`),
    opsetImports: readOpsetImports(message.opsetImport, name),
    graph: readGraph(graph, files, name),
    functions: (message.functions ?? []).map((definition) => readFunction(definition, files, name)),
    ...(message.producerName !== undefined && { producerName: message.producerName }),
    ...(message.producerVersion !== undefined && { producerVersion: message.producerVersion }),
    ...(message.domain !== undefined && { domain: message.domain }),
    ...(message.modelVersion && { modelVersion: bigintFromInt64(message.modelVersion) }),
    ...readDocumented(message, 'ModelProto'),
  };
  const { locations } = external;
  const storage = { external: locations.length > 0, files: locations, modelFile: baseName(name) };
  const whole: Model = { ...model, storage };
  verifyNames(whole, name);
  return whole;
}

function readMessage(file: ByteSource, name: string): ModelMessage {
  const structure = readStructure(file, name);
  try {
    return decodeMessage<ModelMessage>('ModelProto', structure);
  } catch (cause) {
    // All that is left to refuse are numbers in packed lists.
    const what = 'this is not a whole ONNX file (a list of numbers is damaged)';
    refuse(name, what, 'Export or download it again.', { cause });
  }
}

function readStructure(file: ByteSource, name: string): Uint8Array {
  try {
    return cutPayloads(file);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    const { message, byteOffset } = error;
    const place = `at byte ${byteOffset} of ${file.byteLength}`;
    const what = `this is not a whole ONNX file (${place}, ${message})`;
    refuse(name, what, 'Export or download it again.', { byteOffset });
  }
}

function baseName(path: string): string {
  return path.slice(Math.max(path.lastIndexOf('/'), path.lastIndexOf('\\')) + 1);
}
