import { onnx } from 'onnx-proto';

/** Returns numbers from 0 (inclusive) to 1 that a seed decides (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

type Random = () => number;

const pick = <T>(random: Random, from: readonly T[]): T | undefined =>
  from[Math.floor(random() * from.length)];

/**
 * Returns a damaged copy of an ONNX file: one to four changes to its bytes, or to what they mean (a
 * name, dim, type, attribute, node, opset ...), which byte changes seldom hit.
 */
export function mutateModel(bytes: Uint8Array, random: Random): Uint8Array {
  // Mostly one: with every further change fewer copies get past the reader.
  const count = 1 + Math.floor(random() ** 2 * 4);
  const model = decode(bytes);
  if (model === undefined || random() < 0.25) {
    let mutated = bytes;
    for (let index = 0; index < count; index++) mutated = mutateBytes(mutated, random);
    return mutated;
  }
  for (let index = 0; index < count; index++) mutateMeaning(model, random);
  return onnx.ModelProto.encode(model).finish();
}

function decode(bytes: Uint8Array): onnx.ModelProto | undefined {
  try {
    return onnx.ModelProto.decode(bytes);
  } catch {
    // No model, such as the pointer of Git LFS.
    return undefined;
  }
}

/** Nodes come first in a file and declarations last; what lies between is mostly weights. */
function mutateBytes(bytes: Uint8Array, random: Random): Uint8Array {
  const place = random();
  const span = Math.min(bytes.length, 3000);
  const from = place < 0.45 ? 0 : place < 0.9 ? bytes.length - span : 0;
  const within = place < 0.9 ? span : bytes.length;
  const index = from + Math.floor(random() * within);
  const length = 1 + Math.floor(random() * 40);
  const byte = Math.floor(random() * 256);
  const head = bytes.subarray(0, index);
  const tail = bytes.subarray(index);
  const one = Uint8Array.of(byte);
  // Changes that keep the length get further.
  switch (random() < 0.7 ? Math.floor(random() * 2) : 2 + Math.floor(random() * 4)) {
    case 0:
      return Buffer.concat([
        head,
        Uint8Array.of((tail[0] ?? 0) ^ (1 << (byte % 8))),
        tail.subarray(1),
      ]);
    case 1:
      return Buffer.concat([head, one, tail.subarray(1)]);
    case 2:
      return Buffer.concat([head, one, tail]);
    case 3:
      return Buffer.concat([head, tail.subarray(length)]);
    case 4:
      return Buffer.concat([head, tail.subarray(0, length), tail]);
    default:
      return head;
  }
}

const INTEGERS = [0, 1, -1, 2, 3, 7, 1000, 2 ** 31 - 1, -(2 ** 31), 2 ** 40, 2 ** 53 - 1];
const OPERATORS =
  'MatMul Gemm Add Mul Gather Reshape Transpose Softmax Cast Constant ConstantOfShape Concat Split Slice Squeeze Unsqueeze Range Expand Tile If Loop Scan Einsum Conv LayerNormalization DequantizeLinear QuantizeLinear DynamicQuantizeLinear MatMulInteger Shape ReduceMean Pad NotAnOperator'.split(
    ' ',
  );

function mutateMeaning(model: onnx.ModelProto, random: Random): void {
  if (random() < 0.08) {
    const opset = pick(random, model.opsetImport);
    if (opset) opset.version = pick(random, [0, 1, 6, 7, 9, 11, 12, 13, 15, 17, 21, 24, 99, -5])!;
    return;
  }
  const called = pick(random, model.functions ?? []);
  if (called && random() < 0.3) {
    if (random() < 0.3) called.name = pick(random, model.functions)!.name!;
    else mutateNodes(called.node as onnx.NodeProto[], random);
    return;
  }
  if (model.graph) mutateGraph(model.graph as onnx.GraphProto, random);
}

function mutateGraph(graph: onnx.GraphProto, random: Random): void {
  const roll = random();
  if (roll < 0.5) mutateNodes(graph.node as onnx.NodeProto[], random);
  else if (roll < 0.7) mutateTensor(pick(random, graph.initializer), random);
  else {
    const values = pick(random, [graph.input, graph.output, graph.valueInfo]) ?? [];
    const index = Math.floor(random() * values.length);
    if (random() < 0.2) values.splice(index, 1);
    else mutateValue(values[index], random);
  }
}

function mutateNodes(nodes: onnx.NodeProto[], random: Random): void {
  const index = Math.floor(random() * nodes.length);
  const node = nodes[index];
  const other = pick(random, nodes);
  if (node === undefined || other === undefined) return;
  const body = node.attribute.find(({ g }) => g);
  if (body?.g && random() < 0.7) {
    mutateGraph(body.g as onnx.GraphProto, random);
    return;
  }
  const input = Math.floor(random() * node.input.length);
  const changes: readonly (() => void)[] = [
    () => nodes.splice(index, 1, ...(random() < 0.3 ? [node, node] : [])),
    () => nodes.reverse(),
    () => {
      node.opType = pick(random, OPERATORS)!;
    },
    () => {
      node.domain = pick(random, ['', 'com.microsoft', 'nowhere'])!;
    },
    () => {
      node.input[input] =
        pick(random, [other.output[0], other.input[0], node.output[0], 'x']) ?? '';
    },
    () => node.input.splice(input, 1),
    () => node.input.push(other.output[0] ?? ''),
    () => node.output.splice(0, 1, ...(random() < 0.3 ? other.output : [])),
    () => mutateAttribute(pick(random, node.attribute), random),
    () => mutateAttribute(pick(random, node.attribute), random),
    () => node.attribute.splice(0, 1),
  ];
  pick(random, changes)?.();
}

function mutateAttribute(attribute: onnx.IAttributeProto | undefined, random: Random): void {
  if (!attribute) return;
  if (attribute.t && random() < 0.6) {
    mutateTensor(attribute.t, random);
    return;
  }
  const value = pick(random, INTEGERS)!;
  const changes: readonly (() => void)[] = [
    () => {
      attribute.i = value;
    },
    () => {
      attribute.ints = [...(attribute.ints ?? []), value];
    },
    () => {
      attribute.ints = [value];
    },
    () => {
      attribute.f = pick(random, [0, -1, Number.NaN, Number.POSITIVE_INFINITY])!;
    },
    () => {
      attribute.s = Buffer.from('a->b, i j');
    },
    () => {
      attribute.name = pick(random, ['axis', 'axes', 'perm', 'to', 'alpha', 'none'])!;
    },
    () => {
      attribute.type = Math.floor(random() * 15);
    },
  ];
  pick(random, changes)?.();
}

function mutateTensor(tensor: onnx.ITensorProto | undefined, random: Random): void {
  if (!tensor) return;
  const dims = [...(tensor.dims ?? [])];
  const changes: readonly (() => void)[] = [
    () => {
      tensor.dims = dims.with(0, pick(random, INTEGERS)!);
    },
    () => {
      tensor.dims = dims.reverse();
    },
    () => {
      tensor.dims = [...dims, 1];
    },
    () => {
      tensor.dims = dims.slice(1);
    },
    () => {
      tensor.dataType = Math.floor(random() * 26);
    },
    () => {
      tensor.name = pick(random, ['x', '', 'y'])!;
    },
    () => {
      tensor.rawData = Buffer.from(tensor.rawData ?? []).subarray(0, Math.floor(random() * 64));
    },
    () => {
      tensor.dataLocation = Math.floor(random() * 3);
    },
    () => {
      tensor.externalData = [
        { key: 'location', value: pick(random, ['..', 'model.onnx', '/etc/passwd', 'no\nwhere'])! },
        { key: 'offset', value: String(pick(random, INTEGERS)) },
      ];
    },
  ];
  if (dims.length > 0 || random() < 0.5)
    pick(random, dims.length > 0 ? changes : changes.slice(1))?.();
}

function mutateValue(value: onnx.IValueInfoProto | undefined, random: Random): void {
  const tensor = value?.type?.tensorType;
  if (!value || !tensor) return;
  const dims = tensor.shape?.dim ?? [];
  const changes: readonly (() => void)[] = [
    () => {
      tensor.elemType = Math.floor(random() * 26);
    },
    () => {
      tensor.shape = null;
    },
    () => dims.splice(0, 1),
    () => dims.push({ dimValue: pick(random, INTEGERS)! }),
    () => dims.splice(Math.floor(random() * dims.length), 1, { dimValue: pick(random, INTEGERS)! }),
    () => dims.splice(Math.floor(random() * dims.length), 1, { dimParam: 'n' }),
    () => {
      value.name = pick(random, ['x', '', 'y'])!;
    },
  ];
  pick(random, changes)?.();
}
