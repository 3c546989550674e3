/** What autoglm carries without understanding it, so that a written file has lost nothing. */

/** Protobuf fields unknown to our schema, each with its tag, exactly as they stood in the file. */
export type UnknownFields = readonly Uint8Array[];

/** One `StringStringEntryProto`. Order and duplicates are kept. */
export interface MetadataEntry {
  readonly key: string;
  readonly value: string;
}

/** `metadata_props` of a model, graph, node, tensor, value or function. */
export type Metadata = readonly MetadataEntry[];

/** Returns the first value stored under `key`. */
export function metadataValue(metadata: Metadata | undefined, key: string): string | undefined {
  return metadata?.find((entry) => entry.key === key)?.value;
}
