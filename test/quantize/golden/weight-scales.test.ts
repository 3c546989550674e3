import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { readTensorBytes } from '../../../src/ir/tensor.ts';
import { planQuantization } from '../../../src/quantize/plan.ts';
import { parseRecipe } from '../../../src/recipe/load.ts';
import { hashFile } from '../../../src/storage/hash-file.ts';
import { openModel } from '../../../src/storage/model-file.ts';
import { applyQuantization } from '../../../src/targets/onnx/apply.ts';
import golden from './weight-scales.json' with { type: 'json' };

const byChannel = parseRecipe('{ name: by-channel, activations: { bits: float } }', 'test');
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

describe('weights against onnxruntime quantize_static, per channel, symmetric', () => {
  it.each(golden.cases)('$model has the same integers and scales, bit for bit', async (entry) => {
    expect(await hashFile(entry.model), 'fixture changed: run make_weight_scales.py').toBe(
      entry.modelSha256,
    );
    const source = await openModel(entry.model);
    const plan = planQuantization(source, byChannel, new Map());
    const { graph } = applyQuantization(source, plan);
    const producers = new Map(graph.nodes.flatMap((node) => node.outputs.map((o) => [o, node])));
    const theirs: Readonly<Record<string, { weight: string; scale: string }>> = entry.weights;
    let compared = 0;
    for (const node of graph.nodes) {
      const dequantize = producers.get(node.inputs[1] ?? '');
      const weight = graph.initializers.get(dequantize?.inputs[0] ?? '');
      const scale = graph.initializers.get(dequantize?.inputs[1] ?? '');
      const expected = theirs[node.name];
      if (node.opType !== 'MatMul' || !weight || !scale || expected === undefined) continue;
      expect(sha256(await readTensorBytes(weight)), node.name).toBe(expected.weight);
      expect(sha256(await readTensorBytes(scale)), node.name).toBe(expected.scale);
      compared++;
    }
    expect(compared).toBe(
      plan.layers.filter(({ scheme, op }) => scheme !== 'float' && op === 'MatMul').length,
    );
  });
});
