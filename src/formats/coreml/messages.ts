/** Decoded protobuf messages, field for field as in `schema.ts`. They live only inside this folder. */

/** An int64 or uint64: as protobufjs decodes it, or a number to be encoded. */
export type Long = number | { readonly low: number; readonly high: number };

/** Bounds of one axis; an upper bound of -1 is none. */
export interface SizeRangeMessage {
  readonly lowerBound?: Long | undefined;
  readonly upperBound?: Long | undefined;
}

/** An input or output of the model, as apps see it. */
export interface FeatureMessage {
  readonly name?: string | undefined;
  readonly type?: {
    readonly multiArrayType?: {
      readonly shape?: readonly Long[] | undefined;
      readonly dataType?: number | undefined;
      readonly shapeRange?: { readonly sizeRanges?: readonly SizeRangeMessage[] } | undefined;
    };
    readonly isOptional?: boolean | undefined;
  };
}

/** A tensor type, or a state around one. */
export interface ValueTypeMessage {
  readonly tensorType?: {
    readonly dataType?: number | undefined;
    readonly rank?: Long | undefined;
    readonly dimensions?: readonly {
      readonly constant?: { readonly size?: Long | undefined } | undefined;
      readonly unknown?: { readonly variadic?: boolean | undefined } | undefined;
    }[];
  };
  readonly stateType?: unknown;
}

/** A named type. */
export interface NamedTypeMessage {
  readonly name?: string | undefined;
  readonly type?: ValueTypeMessage | undefined;
}

/** Elements of a constant, in the field that its type asks for. */
export interface TensorValueMessage {
  readonly floats?: { readonly values?: readonly number[] } | undefined;
  readonly ints?: { readonly values?: readonly number[] } | undefined;
  readonly bools?: { readonly values?: readonly boolean[] } | undefined;
  readonly strings?: { readonly values?: readonly string[] } | undefined;
  readonly bytes?: { readonly values?: Uint8Array } | undefined;
}

/** A constant: its type with elements in place, or a position in the weight file. */
export interface ValueMessage {
  readonly docString?: string | undefined;
  readonly type?: ValueTypeMessage | undefined;
  readonly immediateValue?: { readonly tensor?: TensorValueMessage | undefined } | undefined;
  readonly blobFileValue?:
    | { readonly fileName?: string | undefined; readonly offset?: Long | undefined }
    | undefined;
}

/** One operation. */
export interface OperationMessage {
  readonly type?: string | undefined;
  readonly inputs?: Readonly<
    Record<
      string,
      {
        readonly arguments?: readonly {
          readonly name?: string | undefined;
          readonly value?: ValueMessage | undefined;
        }[];
      }
    >
  >;
  readonly outputs?: readonly NamedTypeMessage[] | undefined;
  readonly blocks?: readonly unknown[] | undefined;
  readonly attributes?: Readonly<Record<string, ValueMessage>> | undefined;
}

/** One function with a block for each operator set. */
export interface FunctionMessage {
  readonly inputs?: readonly NamedTypeMessage[] | undefined;
  readonly opset?: string | undefined;
  readonly blockSpecializations?: Readonly<
    Record<
      string,
      {
        readonly inputs?: readonly NamedTypeMessage[];
        readonly outputs?: readonly string[] | undefined;
        readonly operations?: readonly OperationMessage[] | undefined;
      }
    >
  >;
}

/** `model.mlmodel`. */
export interface ModelMessage {
  readonly specificationVersion?: number | undefined;
  readonly description?:
    | {
        readonly input?: readonly FeatureMessage[] | undefined;
        readonly output?: readonly FeatureMessage[] | undefined;
        readonly state?: readonly FeatureMessage[] | undefined;
        readonly functions?: readonly unknown[] | undefined;
        readonly metadata?:
          | {
              readonly shortDescription?: string | undefined;
              readonly versionString?: string | undefined;
              readonly author?: string | undefined;
              readonly license?: string | undefined;
              readonly userDefined?: Readonly<Record<string, string>> | undefined;
            }
          | undefined;
      }
    | undefined;
  readonly mlProgram?:
    | {
        readonly version?: Long | undefined;
        readonly functions?: Readonly<Record<string, FunctionMessage>> | undefined;
      }
    | undefined;
}

/** Returns a 64-bit field as a number, absent as 0; exact below 2^53. */
export function numberOfLong(value: Long | undefined): number {
  if (value === undefined || typeof value === 'number') return value ?? 0;
  return value.high * 2 ** 32 + (value.low >>> 0);
}
