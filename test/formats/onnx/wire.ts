/** Protobuf by hand: test files come from here, not from the encoder under test. */

/** A field value: varint, text, bytes, or nested fields. */
export type Wire = number | bigint | string | Uint8Array | readonly Uint8Array[];

/** Returns the bytes of an unsigned varint. */
export function varint(value: number | bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, BigInt(value));
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}

/** Returns tag and value of one field: numbers as varints, everything else with a length. */
export function field(id: number, value: Wire): Uint8Array {
  if (typeof value === 'number' || typeof value === 'bigint') {
    return join([varint(id * 8), varint(value)]);
  }
  const bytes =
    typeof value === 'string'
      ? new TextEncoder().encode(value)
      : value instanceof Uint8Array
        ? value
        : join(value);
  return join([varint(id * 8 + 2), varint(bytes.length), bytes]);
}

/** Returns all parts in one buffer. */
export function join(parts: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts));
}

/** Returns a ValueInfoProto of a tensor (float32 by default). */
export function value(
  name: string,
  dims: readonly (number | string)[] = [1],
  type = 1,
): Uint8Array[] {
  const shape = dims.map((dim) => field(1, [field(typeof dim === 'number' ? 1 : 2, dim)]));
  return [field(1, name), field(2, [field(1, [field(1, type), field(2, shape)])])];
}

/** Returns a NodeProto. */
export function node(
  opType: string,
  inputs: readonly string[],
  outputs: readonly string[],
  more: readonly Uint8Array[] = [],
): Uint8Array[] {
  return [
    ...inputs.map((name) => field(1, name)),
    ...outputs.map((name) => field(2, name)),
    field(3, `${opType.toLowerCase()}_${outputs[0] ?? ''}`),
    field(4, opType),
    ...more,
  ];
}

/** Returns a TensorProto with raw_data. */
export function tensor(
  name: string,
  dataType: number,
  dims: readonly (number | bigint)[],
  raw: Uint8Array | undefined,
  more: readonly Uint8Array[] = [],
): Uint8Array[] {
  return [
    ...dims.map((dim) => field(1, dim)),
    field(2, dataType),
    field(8, name),
    ...(raw === undefined ? [] : [field(9, raw)]),
    ...more,
  ];
}

/** Returns TensorProto fields that name external data. */
export function external(location: string, offset?: string, length?: string): Uint8Array[] {
  const entry = (key: string, text: string): Uint8Array =>
    field(13, [field(1, key), field(2, text)]);
  return [
    entry('location', location),
    ...(offset === undefined ? [] : [entry('offset', offset)]),
    ...(length === undefined ? [] : [entry('length', length)]),
    field(14, 1),
  ];
}

/** Returns a ModelProto (IR 10, opset 21) around the fields of a graph. */
export function model(graph: readonly Uint8Array[], more: readonly Uint8Array[] = []): Uint8Array {
  return join([
    field(1, 10),
    field(7, [field(2, 'g'), ...graph]),
    field(8, [field(1, ''), field(2, 21)]),
    ...more,
  ]);
}

/** Returns the graph `y = x + w` with the given TensorProto as `w`. */
export function addGraph(weight: readonly Uint8Array[]): Uint8Array[] {
  return [
    field(1, node('Add', ['x', 'w'], ['y'])),
    field(5, weight),
    field(11, value('x')),
    field(12, value('y')),
  ];
}
