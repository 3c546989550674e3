/**
 * What the reader accepts at most. A file that passes a limit is refused with the limit's value
 * in the message; each limit lies far above what real exports reach.
 */
export const LIMITS = {
  /** Messages inside messages. The C++ and Python protobuf runtimes stop at the same depth. */
  nesting: 100,
  /**
   * Bytes of graph structure (everything but tensor payloads), all of which stay in memory. A
   * 7,500-node export has 1 MB, a 100,000-node one 15 MB.
   */
  structureBytes: 128 * 2 ** 20,
  /**
   * Protobuf messages in the structure. An empty one takes two bytes in a file and up to 1 KB in
   * memory, so this is what keeps a 16 MB file from taking all of it. An export of 50,000 nodes
   * with types and metadata has 850,000.
   */
  structureMessages: 1_000_000,
  /** Protobuf fields plus elements of packed lists, 16 to 64 bytes each in memory. */
  structureItems: 8_000_000,
  /** Dimensions of one tensor: NumPy's own limit, and more than any runtime takes. */
  rank: 64,
  /** Elements of one tensor: bytes stay exact integers in float64 at 128 bits per element. */
  tensorElements: 2 ** 48,
  /** Characters of an external-data location: the longest path Linux opens. */
  locationLength: 4096,
} as const;

/**
 * Payloads up to this many bytes are read with the structure: passes look at shape constants
 * without waiting, and one page is no more to read than its position.
 */
export const IN_MEMORY_BYTES = 4096;

/** Initializers of fewer bytes stay inside the .onnx file when the others go to external data. */
export const INLINE_BELOW_BYTES = 1024;

/** Total of tensor bytes from which `auto` moves weights out of the .onnx file (1 GB). */
export const EXTERNAL_FROM_BYTES = 1_000_000_000;

/** Protobuf messages end below 2 GiB: onnxruntime fails to parse 2.06 GiB. */
export const PROTOBUF_MAX_BYTES: number = 2 ** 31 - 1;

/** External tensors of a page or more start on a page, so that runtimes can map them. */
export const PAGE_BYTES = 4096;

/** Alignment of external tensors smaller than a page: one cache line. */
export const CACHE_LINE_BYTES = 64;

/** Bytes moved at a time when tensors are written. */
export const CHUNK_BYTES: number = 16 * 2 ** 20;
