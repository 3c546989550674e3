import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readMnn } from '../../src/formats/mnn/read.ts';
import { readWeights } from '../../src/formats/mnn/weight-layout.ts';
import { editGraph, withGraph } from '../../src/ir/edit.ts';
import type { Model } from '../../src/ir/model.ts';
import { inlineTensor, readTensorBytes, type TensorSource } from '../../src/ir/tensor.ts';
import { convertToFloat32 } from '../../src/passes/convert-to-float32.ts';
import { runPasses } from '../../src/passes/pass.ts';
import { widenTensor } from '../../src/passes/widen-tensor.ts';
import { planQuantization } from '../../src/quantize/plan.ts';
import { parseRecipe } from '../../src/recipe/load.ts';
import { fileSource } from '../../src/storage/file-source.ts';
import { findLinears } from '../../src/structure/find-linears.ts';
import { mnnWriter } from '../../src/targets/mnn/writer.ts';
import type { Feeds } from '../../src/values/tensor-value.ts';
import { noise } from '../kit/models.ts';
import { fixture } from '../kit/run-model.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';
import { mnnPython, runMnn, runTwin, worstDifference } from './run-mnn.ts';

const WEIGHTS = {
  'INT8 by channel': 'bits: 8, granularity: channel, symmetric: true',
  'INT8 in blocks': 'bits: 8, granularity: block, blockSize: 32, symmetric: true',
  'INT4 in blocks': 'bits: 4, granularity: block, blockSize: 32, symmetric: true, rounding: rtn',
  'INT4 in blocks with zero points':
    'bits: 4, granularity: block, blockSize: 32, symmetric: false, rounding: rtn',
} as const;

const MODELS = ['glm-nano/torchscript', 'glm-nano/genai', 'vit-fashion/optimum'];
const python = await mnnPython();

describe.skipIf(python === undefined)('MNN computes with our integers', () => {
  it.each(
    MODELS.flatMap((name) => Object.entries(WEIGHTS).map(([form, text]) => ({ name, form, text }))),
  )('$form: $name', async ({ name, form, text }) => {
    const source = await fixture(name);
    const recipe = parseRecipe(
      [
        `name: x`,
        `description: x`,
        `weights: { ${text} }`,
        'activations: { bits: float, dtype: float32 }',
        'embedding: int8',
        'head: weight-only',
        'rules: []',
      ].join('\n'),
      'test',
    );
    const plan = planQuantization(source, recipe, new Map());
    const folder = temporaryFolder();
    const lowered = mnnWriter.lower({ model: source, plan, options: {}, shapes: new Map() });
    for (const file of lowered.files) {
      if ('read' in file) await writeFile(join(folder, file.name), file.read());
    }
    const path = join(folder, lowered.entry);
    const twin = await withWeightsOf(path, source);
    expect(twin.count).toBe(plan.layers.filter(({ scheme }) => scheme !== 'float').length);
    expect(twin.tables).toBe(plan.embeddings.length);
    // Rounding to nearest is off by half a step, 1/254 of the largest weight; the largest of 4 bits by a whole one.
    expect(twin.worst).toBeLessThan(form.startsWith('INT8') ? 0.00394 + 1e-6 : 0.1251);
    expect(twin.worst).toBeGreaterThan(form.startsWith('INT8') ? 0.002 : 0.03);
    const feeds = feedsOf(source);
    const expected = await runTwin(twin.model, folder, feeds);
    const found = await runMnn(path, feeds, { python });
    const low = await runMnn(path, feeds, { python, memory: 'low' });
    expected.forEach((outputs, run) => {
      expect(worstDifference(outputs, found[run]!)).toBeLessThan(1e-5);
      const rounded = worstDifference(outputs, low[run]!);
      // Activations are INT8 now: really rounded, and not wrong.
      expect(rounded).toBeGreaterThan(1e-4);
      expect(rounded).toBeLessThan(0.12);
    });
  });
});

/** The float model with the weights that the file holds as integers, and how far the worst of them is off. */
async function withWeightsOf(
  path: string,
  source: Model,
): Promise<{ model: Model; count: number; tables: number; worst: number }> {
  const { ops, weights } = readMnn(fileSource(path), fileSource(`${path}.weight`));
  const model = runPasses(source, [convertToFloat32]);
  const layers = new Map(findLinears(model).map((layer) => [layer.output, layer]));
  const replace = new Map();
  const added = [];
  let worst = 0;
  for (const [index, placed] of weights) {
    if (placed.kind !== 'convolution' || placed.coding !== 'blob') continue;
    const output = ops[index]!.name!.replace(/_packed$/, '');
    const layer = layers.get(output)!;
    const [K, N] = [layer.inFeatures, layer.outFeatures];
    const values = await readWeights(placed, path);
    const float = new Float32Array(
      (
        await readTensorBytes(
          layer.weight.tensor.dataType === 'float32'
            ? layer.weight.tensor
            : widenTensor(layer.weight.tensor),
        )
      ).buffer,
    );
    const at = (row: number, column: number): number =>
      float[layer.weight.outputAxis === 0 ? row * K + column : column * N + row]!;
    const turned = new Float32Array(N * K);
    for (let row = 0; row < N; row++) {
      let [largest, error] = [0, 0];
      for (let column = 0; column < K; column++) {
        const value = values[row * K + column]!;
        turned[column * N + row] = value;
        largest = Math.max(largest, Math.abs(at(row, column)));
        error = Math.max(error, Math.abs(value - at(row, column)));
      }
      worst = Math.max(worst, error / largest);
    }
    const name = `${output}_decoded`;
    const isTurned =
      layer.node.opType === 'Gemm' && layer.node.attributes.get('transB')?.value === 1n;
    added.push(
      inlineTensor(
        name,
        'float32',
        isTurned ? [N, K] : [K, N],
        new Uint8Array((isTurned ? values : turned).buffer),
      ),
    );
    replace.set(layer.node, [{ ...layer.node, inputs: layer.node.inputs.with(1, name) }]);
  }
  const layersRead = added.length;
  const byName = new Map(ops.map((op, index) => [op.name ?? '', weights.get(index)]));
  for (const node of model.graph.nodes.filter(({ opType }) => opType === 'Gather')) {
    const [output = ''] = node.outputs;
    const [table, scales] = [byName.get(`${output}_table`), byName.get(`${output}_scales`)];
    if (table?.kind !== 'constant' || scales?.kind !== 'constant') continue;
    const integers = new Int8Array((await bytesOf(table.bytes)).buffer);
    const factors = new Float32Array((await bytesOf(scales.bytes)).buffer);
    const size = integers.length / factors.length;
    const rows = Float32Array.from(integers, (q, at) => q * factors[Math.floor(at / size)]!);
    const name = `${output}_decoded`;
    added.push(inlineTensor(name, 'float32', table.dims, new Uint8Array(rows.buffer)));
    replace.set(node, [{ ...node, inputs: node.inputs.with(0, name) }]);
  }
  const graph = editGraph(model.graph, { replace, addInitializers: added });
  return {
    model: withGraph(model, graph),
    count: layersRead,
    tables: added.length - layersRead,
    worst,
  };
}

async function bytesOf(source: TensorSource): Promise<Uint8Array> {
  const bytes = new Uint8Array(source.byteLength);
  await source.read(bytes, 0);
  return bytes;
}

function feedsOf(model: Model): readonly Feeds[] {
  return [7, 3].map(
    (length, run) =>
      new Map(
        model.graph.inputs.map(({ name, type }) => {
          const shape = type?.kind === 'tensor' ? (type.shape ?? []) : [];
          const isIds = type?.kind === 'tensor' && type.dataType === 'int64';
          const dims = shape.map((dim, axis) => {
            if (typeof dim === 'number') return dim;
            if (axis === 0) return run + 1;
            if (/channels/.test(String(dim))) return 1;
            return /height|width/.test(String(dim)) ? 28 : /past/.test(String(dim)) ? 0 : length;
          });
          const count = dims.reduce((product, dim) => product * dim, 1);
          const ids = BigInt64Array.from({ length: count }, (_, at) =>
            BigInt(name.includes('mask') ? 1 : (at * 37 + 11) % 250),
          );
          return [
            name,
            isIds
              ? { dataType: 'int64', dims, data: ids }
              : { dataType: 'float32', dims, data: noise(3, count) },
          ];
        }),
      ),
  );
}
