import { join } from 'node:path';
import { attributes } from '../../src/ir/attributes.ts';
import type { DataType } from '../../src/ir/data-type.ts';
import type { Dim, Model, Node, ValueInfo } from '../../src/ir/model.ts';
import { inlineTensor, type Tensor } from '../../src/ir/tensor.ts';
import { float32ArrayToFloat16 } from '../../src/numerics/float16.ts';
import { createRandom } from '../../src/numerics/random.ts';
import { saveModel } from '../../src/storage/model-file.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';

/** Returns normal values, the same for the same seed. */
export function normals(count: number, seed: number, deviation = 1): Float32Array {
  const random = createRandom(seed);
  return Float32Array.from({ length: count }, () => deviation * random.normal());
}

/** Returns an initializer of float32 values, stored as float32 or float16. */
function floatTensor(
  name: string,
  dims: readonly number[],
  values: Float32Array,
  dataType: 'float32' | 'float16' = 'float32',
): Tensor {
  const data = dataType === 'float32' ? values : float32ArrayToFloat16(values);
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return inlineTensor(name, dataType, dims, bytes);
}

function int8Tensor(name: string, dims: readonly number[], values: Int8Array): Tensor {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return inlineTensor(name, 'int8', dims, bytes);
}

export function value(name: string, dataType: DataType, shape: readonly Dim[]): ValueInfo {
  return { name, type: { kind: 'tensor', dataType, shape } };
}

export function node(
  opType: string,
  inputs: readonly string[],
  output: string,
  literals: Parameters<typeof attributes>[0] = {},
): Node {
  return {
    name: output,
    opType,
    domain: '',
    inputs,
    outputs: [output],
    attributes: attributes(literals),
  };
}

export interface TinyGraph {
  readonly nodes: readonly Node[];
  readonly inputs: readonly ValueInfo[];
  readonly outputs: readonly ValueInfo[];
  readonly initializers: readonly Tensor[];
}

/** Returns a model of opset 18. */
export function tinyModel({ nodes, inputs, outputs, initializers }: TinyGraph): Model {
  return {
    irVersion: 9,
    opsetImports: [{ domain: '', version: 18 }],
    graph: {
      name: 'tiny',
      nodes,
      inputs,
      outputs,
      initializers: new Map(initializers.map((tensor) => [tensor.name, tensor])),
      sparseInitializers: [],
      valueInfo: new Map(),
    },
    functions: [],
    storage: { external: false, files: [] },
  };
}

/** Writes a model into a folder that is removed when the test ends, and returns its path. */
export async function saveTiny(model: Model): Promise<string> {
  const path = join(temporaryFolder(), 'model.onnx');
  await saveModel(model, path);
  return path;
}

const VOCABULARY = 32;
const WIDTH = 16;

/**
 * A language model without context: logits [1, S, 32] = embedding[ids] @ head, in float32 or with
 * float16 weights and logits. `headScale` multiplies the head, as a wrong scale would.
 */
export function languageModel(
  options: { readonly dataType?: 'float32' | 'float16'; readonly headScale?: number } = {},
): Model {
  const { dataType = 'float32', headScale = 1 } = options;
  const head = normals(WIDTH * VOCABULARY, 2, 0.5 * headScale);
  return tinyModel({
    nodes: [
      node('Gather', ['embedding', 'input_ids'], 'hidden'),
      node('MatMul', ['hidden', 'head'], 'logits'),
    ],
    inputs: [value('input_ids', 'int64', [1, 'sequence'])],
    outputs: [value('logits', dataType, [1, 'sequence', VOCABULARY])],
    initializers: [
      floatTensor('embedding', [VOCABULARY, WIDTH], normals(VOCABULARY * WIDTH, 1), dataType),
      floatTensor('head', [WIDTH, VOCABULARY], head, dataType),
    ],
  });
}

/** The same language model with its head as INT8 per output channel; `sabotage` multiplies one scale. */
export function quantizedLanguageModel(sabotage = 1): Model {
  const plain = languageModel();
  const head = normals(WIDTH * VOCABULARY, 2, 0.5);
  const scales = new Float32Array(VOCABULARY);
  for (let index = 0; index < head.length; index++) {
    const column = index % VOCABULARY;
    scales[column] = Math.max(scales[column]!, Math.abs(head[index]!) / 127);
  }
  const quantized = Int8Array.from(head, (weight, index) =>
    Math.round(weight / scales[index % VOCABULARY]!),
  );
  scales[5]! *= sabotage;
  return tinyModel({
    nodes: [
      node('Gather', ['embedding', 'input_ids'], 'hidden'),
      node('DequantizeLinear', ['head', 'head_scale'], 'head_float', { axis: 1n }),
      node('MatMul', ['hidden', 'head_float'], 'logits'),
    ],
    inputs: plain.graph.inputs,
    outputs: plain.graph.outputs,
    initializers: [
      plain.graph.initializers.get('embedding')!,
      int8Tensor('head', [WIDTH, VOCABULARY], quantized),
      floatTensor('head_scale', [VOCABULARY], scales),
    ],
  });
}

/** Class logits [1, 4] = x [1, 8] @ weight, multiplied by `factor`, or NaN when it is NaN. */
export function classifier(factor = 1): Model {
  return tinyModel({
    nodes: [node('MatMul', ['x', 'weight'], 'scores')],
    inputs: [value('x', 'float32', [1, 8])],
    outputs: [value('scores', 'float32', [1, 4])],
    initializers: [floatTensor('weight', [8, 4], normals(32, 3, factor))],
  });
}

/** y = x @ weight with x [rows, size] and a square weight. */
export function squareMatMul(size: number): Model {
  return tinyModel({
    nodes: [node('MatMul', ['x', 'weight'], 'y')],
    inputs: [value('x', 'float32', ['rows', size])],
    outputs: [value('y', 'float32', ['rows', size])],
    initializers: [floatTensor('weight', [size, size], normals(size * size, 4))],
  });
}
