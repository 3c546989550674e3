/**
 * The middle of autoglm: ONNX models as plain readonly records. Edges are value names, as in ONNX
 * itself, so a graph is printable, comparable and cheap to copy; an edit makes new records and
 * shares every untouched one, weights above all.
 */
import type { DataType } from './data-type.ts';
import type { Metadata, UnknownFields } from './preserved.ts';
import type { Tensor } from './tensor.ts';

/** A dimension: a fixed size, a symbol (`batch`), or undefined when nothing is known. */
export type Dim = number | string | undefined;

/** A dense tensor type. `shape` is absent when even the rank is unknown. */
export interface TensorType {
  readonly kind: 'tensor' | 'sparseTensor';
  readonly dataType: DataType;
  readonly shape?: readonly Dim[];
  /** TypeProto.denotation and one entry per dimension, where the file had them. */
  readonly denotation?: string;
  readonly dimDenotations?: readonly (string | undefined)[];
  readonly unknownFields?: UnknownFields;
}

/** A sequence or optional of another type. */
export interface ContainerType {
  readonly kind: 'sequence' | 'optional';
  readonly element: ValueType | undefined;
  readonly denotation?: string;
  readonly unknownFields?: UnknownFields;
}

/** A type kept as the bytes of its TypeProto: maps, opaque types, and kinds newer than our schema. */
export interface OpaqueType {
  readonly kind: 'opaque';
  readonly encoded: Uint8Array;
}

/** The type of a value. */
export type ValueType = TensorType | ContainerType | OpaqueType;

/** A named value with its type: graph inputs, outputs and inferred intermediates. */
export interface ValueInfo {
  readonly name: string;
  readonly type?: ValueType;
  readonly docString?: string;
  readonly metadata?: Metadata;
  readonly unknownFields?: UnknownFields;
}

/** The value of a node attribute, tagged by ONNX `AttributeType`. Integers are int64. */
export type AttributeValue =
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'int'; readonly value: bigint }
  | { readonly kind: 'string'; readonly value: Uint8Array }
  | { readonly kind: 'tensor'; readonly value: Tensor }
  | { readonly kind: 'graph'; readonly value: Graph }
  | { readonly kind: 'sparseTensor'; readonly value: SparseTensor }
  | { readonly kind: 'type'; readonly value: ValueType }
  | { readonly kind: 'floats'; readonly value: readonly number[] }
  | { readonly kind: 'ints'; readonly value: readonly bigint[] }
  | { readonly kind: 'strings'; readonly value: readonly Uint8Array[] }
  | { readonly kind: 'tensors'; readonly value: readonly Tensor[] }
  | { readonly kind: 'graphs'; readonly value: readonly Graph[] }
  | { readonly kind: 'sparseTensors'; readonly value: readonly SparseTensor[] }
  | { readonly kind: 'types'; readonly value: readonly ValueType[] }
  /** Inside a function body: the value is the attribute of that name at the call. */
  | { readonly kind: 'reference'; readonly value: string; readonly typeCode: number }
  /** An attribute type newer than our schema, kept as the bytes of its AttributeProto. */
  | { readonly kind: 'opaque'; readonly value: Uint8Array };

/** A node attribute. */
export type Attribute = AttributeValue & {
  readonly name: string;
  readonly docString?: string;
  readonly unknownFields?: UnknownFields;
};

/** A sparse constant in COO form (SparseTensorProto). */
export interface SparseTensor {
  readonly values: Tensor;
  readonly indices: Tensor;
  readonly dims: readonly number[];
  readonly unknownFields?: UnknownFields;
}

/** One operation. An empty input name means "omitted optional input". */
export interface Node {
  readonly name: string;
  readonly opType: string;
  /** Operator set domain; '' is ai.onnx. */
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, Attribute>;
  readonly overload?: string;
  readonly docString?: string;
  readonly metadata?: Metadata;
  readonly unknownFields?: UnknownFields;
}

/** A dataflow graph in topological order. */
export interface Graph {
  readonly name: string;
  readonly nodes: readonly Node[];
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  /** Constants by name, in file order. */
  readonly initializers: ReadonlyMap<string, Tensor>;
  readonly sparseInitializers: readonly SparseTensor[];
  /** Types of intermediate values by name, in file order. */
  readonly valueInfo: ReadonlyMap<string, ValueInfo>;
  readonly docString?: string;
  readonly metadata?: Metadata;
  readonly unknownFields?: UnknownFields;
}

/** The version of an operator set that a model or function is written against. */
export interface OpsetImport {
  readonly domain: string;
  readonly version: number;
  readonly unknownFields?: UnknownFields;
}

/** A model-local function (FunctionProto): a named graph over named inputs. */
export interface FunctionDefinition {
  readonly name: string;
  readonly domain: string;
  readonly overload?: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Attribute names without, and attributes with, a default. */
  readonly attributeNames: readonly string[];
  readonly attributeDefaults: readonly Attribute[];
  readonly nodes: readonly Node[];
  readonly opsetImports: readonly OpsetImport[];
  readonly valueInfo: ReadonlyMap<string, ValueInfo>;
  readonly docString?: string;
  readonly metadata?: Metadata;
  readonly unknownFields?: UnknownFields;
}

/** How the input stored its weights, so that an output can follow the same convention. */
export interface WeightStorage {
  /** True when at least one tensor lay outside the .onnx file. */
  readonly external: boolean;
  /** File names of the external data, relative to the model, in order of first use. */
  readonly files: readonly string[];
  /** File name of the model itself, where it came from a file. */
  readonly modelFile?: string;
}

/** A whole model. */
export interface Model {
  readonly irVersion: number;
  readonly opsetImports: readonly OpsetImport[];
  readonly graph: Graph;
  readonly functions: readonly FunctionDefinition[];
  readonly producerName?: string;
  readonly producerVersion?: string;
  readonly domain?: string;
  readonly modelVersion?: bigint;
  readonly docString?: string;
  readonly metadata?: Metadata;
  /** Training info, device configurations and fields newer than our schema. */
  readonly unknownFields?: UnknownFields;
  readonly storage: WeightStorage;
}

/** Returns the version of an operator set that the model imports; '' and `ai.onnx` are one domain. */
export function opsetVersion(model: Model, domain = ''): number | undefined {
  const canonical = canonicalDomain(domain);
  return model.opsetImports.find((entry) => canonicalDomain(entry.domain) === canonical)?.version;
}

/** Returns '' for `ai.onnx`, any other domain as it is. */
export function canonicalDomain(domain: string): string {
  return domain === 'ai.onnx' ? '' : domain;
}
