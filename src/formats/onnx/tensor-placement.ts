import type { Tensor, TensorSource } from '../../ir/tensor.ts';
import { CACHE_LINE_BYTES, IN_MEMORY_BYTES, INLINE_BELOW_BYTES, PAGE_BYTES } from './limits.ts';

/** Where the bytes of a tensor go. */
export type Placement =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array }
  /** Inside the .onnx file, streamed from the source at this index. */
  | { readonly kind: 'streamed'; readonly index: number }
  | { readonly kind: 'external'; readonly location: string; readonly offset: number };

/** Only initializers may leave the file: runtimes want the tensors of attributes inside it. */
export type TensorRole = 'initializer' | 'attribute';

/** A tensor that the data file holds at an offset. */
export interface StoredSource {
  readonly source: TensorSource;
  readonly offset: number;
}

/** What decides the placement of a model's tensors. */
export interface PlacementOptions {
  /** Name of the data file; undefined keeps all tensors in the .onnx file. */
  readonly dataFile: string | undefined;
  /** Location under which the output refers to an original file, by that file's path. */
  readonly references: ReadonlyMap<string, string>;
}

/**
 * Decides, tensor by tensor in the order of the written file, where bytes go, and remembers what
 * has to be streamed. Same calls, same layout.
 */
export class TensorPlacement {
  /** Sources that are streamed into the .onnx file, by index. */
  readonly streamed: TensorSource[] = [];
  /** Sources in the data file by offset, without overlap. */
  readonly stored: StoredSource[] = [];
  readonly #options: PlacementOptions;
  readonly #offsets = new Map<string, number>();
  #end = 0;

  constructor(options: PlacementOptions) {
    this.#options = options;
  }

  /**
   * Returns where the bytes of `tensor` go. Tensors with equal source keys share one place in the
   * data file.
   */
  place(tensor: Tensor, role: TensorRole): Placement {
    const { source } = tensor;
    const { dataFile, references } = this.#options;
    if (role === 'initializer' && source.byteLength >= INLINE_BELOW_BYTES) {
      const location = source.slice && references.get(source.slice.path);
      if (location !== undefined && source.slice !== undefined) {
        return { kind: 'external', location, offset: source.slice.offset };
      }
      if (dataFile !== undefined) {
        return { kind: 'external', location: dataFile, offset: this.#store(source) };
      }
    }
    if (source.bytes !== undefined && source.byteLength <= IN_MEMORY_BYTES) {
      return { kind: 'bytes', bytes: source.bytes };
    }
    return { kind: 'streamed', index: this.streamed.push(source) - 1 };
  }

  #store(source: TensorSource): number {
    const key = sourceKey(source);
    const known = key === undefined ? undefined : this.#offsets.get(key);
    if (known !== undefined) return known;
    const alignment = source.byteLength >= PAGE_BYTES ? PAGE_BYTES : CACHE_LINE_BYTES;
    const offset = Math.ceil(this.#end / alignment) * alignment;
    this.#end = offset + source.byteLength;
    this.stored.push({ source, offset });
    if (key !== undefined) this.#offsets.set(key, offset);
    return offset;
  }
}

/** Returns a text that is equal for sources with equal bytes, where that is known. */
export function sourceKey({ key, slice, byteLength }: TensorSource): string | undefined {
  if (key !== undefined) return `${byteLength} ${key}`;
  return slice && `${byteLength} ${slice.path}:${slice.offset}`;
}
