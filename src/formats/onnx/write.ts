import { UnsupportedError } from '../../errors.ts';
import { subgraphs } from '../../ir/attributes.ts';
import type { Graph, Model } from '../../ir/model.ts';
import type { Tensor, TensorSource } from '../../ir/tensor.ts';
import type { OutputFile, OutputFolder } from '../bytes.ts';
import {
  CHUNK_BYTES,
  EXTERNAL_FROM_BYTES,
  INLINE_BELOW_BYTES,
  PROTOBUF_MAX_BYTES,
} from './limits.ts';
import { type Pieces, pastePayloads } from './paste-payloads.ts';
import { encodeMessage } from './schema.ts';
import { type StoredSource, sourceKey, TensorPlacement } from './tensor-placement.ts';
import { modelMessage } from './write-graph.ts';

/** How to lay out a written model. */
export interface WriteOptions {
  /** Name of the .onnx file in the output folder. */
  readonly modelFile: string;
  /** Name of the file for external data, if one is needed. */
  readonly dataFile: string;
  /**
   * `auto` (the default): initializers of 1 KiB and more leave the .onnx file when the input had
   * external data, or when all tensors together pass 1 GB.
   */
  readonly externalData?: 'auto' | 'always' | 'never';
  /**
   * Weights that still lie in the files of the input are not copied: those files get hard links
   * beside the model. For sub-models that live shorter than their source. Weights for which the
   * file system cannot make a link are copied as usual.
   */
  readonly referenceWeights?: boolean;
}

/** Names of the written files in the output folder, the model last. */
export interface WrittenFiles {
  readonly files: readonly string[];
}

/**
 * Writes a model: its structure through protobuf, its weights streamed in chunks of
 * 16 MiB. The same model and options give the same bytes. Throws UnsupportedError when the
 * .onnx file would pass 2 GiB, before anything is written.
 */
export async function writeOnnxModel(
  model: Model,
  output: OutputFolder,
  options: WriteOptions,
): Promise<WrittenFiles> {
  const references = options.referenceWeights
    ? await linkWeights(model, output, options.modelFile)
    : new Map<string, string>();
  const dataFile = usesExternalData(model, options) ? options.dataFile : undefined;
  const placement = new TensorPlacement({ dataFile, references });
  const message = modelMessage(model, placement);
  const structure = pastePayloads('ModelProto', encodeMessage('ModelProto', message));
  if (structure.byteLength > PROTOBUF_MAX_BYTES) {
    throw new UnsupportedError(
      `${options.modelFile}: the .onnx file would be too large (got ${structure.byteLength} bytes, expected less than 2 GiB). Write it with external data.`,
    );
  }
  const files = [...references.values()];
  const buffer = new ChunkBuffer();
  if (dataFile !== undefined && placement.stored.length > 0) {
    files.push(dataFile);
    await writeStored(placement.stored, await output.create(dataFile), buffer);
  }
  files.push(options.modelFile);
  await writePieces(structure, placement.streamed, await output.create(options.modelFile), buffer);
  return { files };
}

function usesExternalData(model: Model, { externalData, referenceWeights }: WriteOptions): boolean {
  if (externalData === 'always') return true;
  if (externalData === 'never') return false;
  return (
    referenceWeights === true ||
    model.storage.external ||
    totalTensorBytes(model) > EXTERNAL_FROM_BYTES
  );
}

/**
 * Gives each original weight file a name beside the output. Names follow the order of first use.
 */
async function linkWeights(
  model: Model,
  output: OutputFolder,
  modelFile: string,
): Promise<Map<string, string>> {
  const locations = new Map<string, string>();
  const refused = new Set<string>();
  for (const { source } of initializersOf(model)) {
    const path = source.slice?.path;
    const isSmall = source.byteLength < INLINE_BELOW_BYTES;
    if (path === undefined || isSmall || locations.has(path) || refused.has(path)) continue;
    const name = `${modelFile}.source-${locations.size}`;
    if (await output.link(path, name)) locations.set(path, name);
    else refused.add(path);
  }
  return locations;
}

/** Bytes of all initializers, tied ones counted once. */
function totalTensorBytes(model: Model): number {
  const seen = new Set<string>();
  let total = 0;
  for (const { source } of initializersOf(model)) {
    const key = sourceKey(source);
    if (key !== undefined && seen.has(key)) continue;
    if (key !== undefined) seen.add(key);
    total += source.byteLength;
  }
  return total;
}

function* initializersOf(model: Model): Generator<Tensor> {
  yield* initializersOfGraph(model.graph);
  for (const { nodes } of model.functions) {
    for (const node of nodes)
      for (const graph of subgraphs(node)) yield* initializersOfGraph(graph);
  }
}

function* initializersOfGraph(graph: Graph): Generator<Tensor> {
  yield* graph.initializers.values();
  for (const node of graph.nodes) {
    for (const inner of subgraphs(node)) yield* initializersOfGraph(inner);
  }
}

async function writeStored(
  stored: readonly StoredSource[],
  file: OutputFile,
  buffer: ChunkBuffer,
): Promise<void> {
  let position = 0;
  for (const { source, offset } of stored) {
    await file.append(new Uint8Array(offset - position));
    await stream(source, file, buffer);
    position = offset + source.byteLength;
  }
}

async function writePieces(
  { pieces }: Pieces,
  sources: readonly TensorSource[],
  file: OutputFile,
  buffer: ChunkBuffer,
): Promise<void> {
  for (const piece of pieces) {
    if (piece instanceof Uint8Array) await file.append(piece);
    else await stream(sources[piece.source]!, file, buffer);
  }
}

async function stream(source: TensorSource, file: OutputFile, buffer: ChunkBuffer): Promise<void> {
  for (let offset = 0; offset < source.byteLength; offset += CHUNK_BYTES) {
    const chunk = buffer.take(Math.min(CHUNK_BYTES, source.byteLength - offset));
    await source.read(chunk, offset);
    await file.append(chunk);
  }
}

/** One buffer for all tensors: fresh ones cost three to four times the time in page faults. */
class ChunkBuffer {
  #bytes = new Uint8Array(0);

  take(byteLength: number): Uint8Array {
    if (this.#bytes.length < byteLength) this.#bytes = new Uint8Array(byteLength);
    return this.#bytes.subarray(0, byteLength);
  }
}
