import { closeSync, openSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { attributes } from '../../src/ir/attributes.ts';
import type { Model, Node, ValueInfo } from '../../src/ir/model.ts';
import type { Tensor, TensorSource } from '../../src/ir/tensor.ts';
import { saveModel } from '../../src/storage/model-file.ts';
import { type GlmWidths, makeGlmDecoder } from './glm-decoder.ts';
import { randomRing, writeRing } from './random-ring.ts';

/** Offsets of external data are aligned for memory mapping. */
const ALIGNMENT = 4096;

/** 12 blocks of 51 million weights: 2.5 GB in float32, 1.3 GB in float16. */
export const TWELVE_BLOCKS: GlmWidths = {
  layers: 12,
  hidden: 2048,
  heads: 16,
  kvHeads: 16,
  headDim: 128,
  ffn: 5632,
  vocabulary: 4096,
};

/**
 * Writes a decoder with random weights on disk, all different (runtimes share equal ones): normal linear
 * layers, norms around one. The same arguments give the same bytes. Returns the path of the model.
 */
export async function writeRandomDecoder(
  folder: string,
  widths: GlmWidths,
  dataType: 'float16' | 'float32',
): Promise<string> {
  const weights = join(folder, 'weights.bin');
  const file = openSync(weights, 'w');
  const width = dataType === 'float16' ? 2 : 4;
  const linear = randomRing(dataType, 0, 0.04);
  const norm = randomRing(dataType, 1, 0.2);
  let end = 0;
  let turn = 0;
  const model = makeGlmDecoder(widths, (name, halfBytes): TensorSource => {
    const byteLength = (halfBytes / 2) * width;
    const offset = end;
    turn += 1;
    writeRing(file, name.includes('norm') ? norm : linear, turn * 7919 * width, offset, byteLength);
    end = Math.ceil((end + byteLength) / ALIGNMENT) * ALIGNMENT;
    return {
      byteLength,
      slice: { path: weights, offset },
      read: () => Promise.reject(new Error('weights are written already')),
    };
  });
  closeSync(file);
  const path = join(folder, 'model.onnx');
  await saveModel(dataType === 'float16' ? model : inFloat32(model), path, {
    referenceWeights: true,
  });
  // Python's onnx refuses data files with a second name.
  unlinkSync(weights);
  return path;
}

function inFloat32(model: Model): Model {
  const { graph } = model;
  const widen = (info: ValueInfo): ValueInfo =>
    info.type?.kind === 'tensor' && info.type.dataType === 'float16'
      ? { ...info, type: { ...info.type, dataType: 'float32' } }
      : info;
  const node = (from: Node): Node => {
    const to = from.attributes.get('to');
    const isHalf = to?.kind === 'int' && to.value === 10n;
    return isHalf ? { ...from, attributes: attributes({ to: 1n }) } : from;
  };
  const tensor = (from: Tensor): Tensor =>
    from.dataType === 'float16' ? { ...from, dataType: 'float32' } : from;
  return {
    ...model,
    graph: {
      ...graph,
      nodes: graph.nodes.map(node),
      inputs: graph.inputs.map(widen),
      outputs: graph.outputs.map(widen),
      initializers: new Map([...graph.initializers].map(([name, from]) => [name, tensor(from)])),
    },
  };
}
