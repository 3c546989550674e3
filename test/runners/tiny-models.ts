import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onnx } from 'onnx-proto';
import { temporaryFolder } from '../kit/temporary-folder.ts';

/** ONNX element type numbers used below (TensorProto.DataType). */
export const FLOAT = 1;
export const INT64 = 7;
export const BOOL = 9;
export const FLOAT16 = 10;

export interface TinyValue {
  readonly name: string;
  readonly type: number;
  readonly dims: readonly (number | string)[];
}

export interface TinyNode {
  readonly opType: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

/** Returns the bytes of an ONNX model (opset 17) without constants. */
export function tinyModel(
  nodes: readonly TinyNode[],
  inputs: readonly TinyValue[],
  outputs: readonly TinyValue[],
): Uint8Array {
  return onnx.ModelProto.encode({
    irVersion: 8,
    opsetImport: [{ domain: '', version: 17 }],
    graph: {
      name: 'tiny',
      node: nodes.map(({ opType, inputs: input, outputs: output }) => ({
        opType,
        input: [...input],
        output: [...output],
        name: `${opType}_${output[0]}`,
      })),
      input: inputs.map(valueInfo),
      output: outputs.map(valueInfo),
    },
  }).finish();
}

/** Writes a model into a new temporary folder and returns its path. */
export function writeTiny(bytes: Uint8Array, name = 'model.onnx'): string {
  const path = join(temporaryFolder(), name);
  writeFileSync(path, bytes);
  return path;
}

/** y = x @ w, all inputs of one element type: x [rows, 4], w [4, 2]. */
export function matMulModel(type: number = FLOAT): Uint8Array {
  return tinyModel(
    [{ opType: 'MatMul', inputs: ['x', 'w'], outputs: ['y'] }],
    [
      { name: 'x', type, dims: ['rows', 4] },
      { name: 'w', type, dims: [4, 2] },
    ],
    [{ name: 'y', type, dims: ['rows', 2] }],
  );
}

function valueInfo({ name, type, dims }: TinyValue): onnx.IValueInfoProto {
  return {
    name,
    type: {
      tensorType: {
        elemType: type,
        shape: {
          dim: dims.map((dim) => (typeof dim === 'number' ? { dimValue: dim } : { dimParam: dim })),
        },
      },
    },
  };
}
