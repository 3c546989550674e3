import { describe, expect, it } from 'vitest';
import type { Dim, Model, ValueInfo } from '../../src/ir/model.ts';
import { foldConstants } from '../../src/passes/fold-constants.ts';
import { inferFacts } from '../../src/passes/infer-facts.ts';
import { inferShapes } from '../../src/passes/infer-shapes.ts';
import { openModel } from '../../src/storage/model-file.ts';
import { makeFeeds, type Output, runOnce, type Values } from '../kit/run-once.ts';

const context = { decline: () => {} };

const SIZES: Readonly<Record<string, number>> = {
  batch: 1,
  batch_size: 1,
  s0: 1,
  num_channels: 1,
  height: 28,
  width: 28,
  sequence: 5,
  sequence_length: 5,
  past_sequence_length: 3,
  'past_sequence_length + sequence_length': 8,
  total_sequence_length: 8,
};

const EXPORTS: readonly string[] = [
  'glm-nano/dynamo-opset18',
  'glm-nano/dynamo-opset23',
  'glm-nano/genai',
  'glm-nano/optimum',
  'glm-nano/torchscript',
  'vit-fashion/dynamo-opset18',
  'vit-fashion/optimum',
  'vit-fashion/torchscript-opset14',
];

function feedsFor(model: Model): Values {
  const past = model.graph.inputs.some(({ name }) => name.startsWith('past_'));
  const feeds = new Map(
    makeFeeds(model, SIZES, (name, index) => {
      if (name === 'input_ids') return 5 + index;
      if (name === 'attention_mask') return 1;
      return name === 'position_ids' ? index + 3 : ((index * 7) % 11) / 8 - 0.5;
    }),
  );
  const mask = feeds.get('attention_mask');
  // The mask of a model with caches spans past and present, under whatever name its exporter chose.
  if (past && mask !== undefined)
    feeds.set('attention_mask', { dims: [1, 8], values: new Array(8).fill(1) });
  return feeds;
}

/** Makes every typed intermediate an output, so that the runtime reports what it really is. */
function exposeAll(model: Model): Model {
  const known = new Set(model.graph.outputs.map(({ name }) => name));
  const extra = [...model.graph.valueInfo.values()].filter(
    (info): info is ValueInfo => !known.has(info.name) && info.type?.kind === 'tensor',
  );
  return { ...model, graph: { ...model.graph, outputs: [...model.graph.outputs, ...extra] } };
}

/** A symbol stands for one number: it is bound when first seen and must not change after. */
function agrees(
  shape: readonly Dim[],
  dims: readonly number[],
  bound: Map<string, number>,
): boolean {
  if (shape.length !== dims.length) return false;
  return shape.every((dim, axis) => {
    const actual = dims[axis] ?? -1;
    if (dim === undefined) return true;
    const expected = sizeOfDim(dim, bound);
    if (Number.isNaN(expected)) bound.set(String(dim), actual);
    return Number.isNaN(expected) || expected === actual;
  });
}

/** `2*past + sequence` with the symbols' numbers put in; NaN when one has none yet. */
function sizeOfDim(dim: number | string, bound: ReadonlyMap<string, number>): number {
  if (typeof dim === 'number') return dim;
  const whole = bound.get(dim);
  if (whole !== undefined) return whole;
  const factor = (text: string): number =>
    /^\d+$/.test(text) ? Number(text) : (bound.get(text) ?? NaN);
  const terms = dim.replaceAll(' - ', ' + -1*').split(' + ');
  return terms
    .map((term) =>
      term.split('*').reduce((product, text) => product * (text === '-1' ? -1 : factor(text)), 1),
    )
    .reduce((total, term) => total + term, 0);
}

describe('inferShapes', () => {
  it.each(EXPORTS)('agrees with what onnxruntime computes at every node of %s', async (name) => {
    const model = await openModel(`fixtures/${name}/model.onnx`);
    // Types that the file declares would hide mistakes of ours.
    const bare: Model = { ...model, graph: { ...model.graph, valueInfo: new Map() } };
    const inferred = inferShapes.run(bare, context);
    const made = inferred.graph.nodes.flatMap((node) =>
      node.outputs.filter((output) => output !== ''),
    );
    const shaped = [...inferred.graph.valueInfo.values()].filter(
      ({ type }) => type?.kind === 'tensor' && type.shape !== undefined,
    );
    // Something is known of nearly every value, or the test below would prove little.
    expect(shaped.length).toBeGreaterThan(0.97 * (made.length - model.graph.outputs.length));

    const actual = await runOnce(exposeAll(inferred), feedsFor(model));
    const bound = new Map(Object.entries(SIZES));
    const wrong: string[] = [];
    let compared = 0;
    for (const info of shaped) {
      const output = actual.get(info.name);
      if (output === undefined || info.type?.kind !== 'tensor') continue;
      compared++;
      if (
        info.type.dataType !== output.type ||
        !agrees(info.type.shape ?? [], output.dims, bound)
      ) {
        wrong.push(
          `${info.name}: [${info.type.shape}] ${info.type.dataType}, is [${output.dims}] ${output.type}`,
        );
      }
    }
    expect(wrong).toEqual([]);
    expect(compared).toBe(shaped.length);
    checkElements(bare, actual, bound);
  });

  it('folds nothing that onnxruntime computes otherwise', async () => {
    for (const name of EXPORTS) {
      const model = await openModel(`fixtures/${name}/model.onnx`);
      const feeds = feedsFor(model);
      const expected = await runOnce(model, feeds);
      const folded = await runOnce(foldConstants.run(model, context), feeds);
      for (const [output, { values }] of expected)
        expect(folded.get(output)?.values).toEqual(values);
    }
  });
});

/** Known elements must be the numbers that the runtime computes. */
function checkElements(
  model: Model,
  actual: ReadonlyMap<string, Output>,
  bound: ReadonlyMap<string, number>,
): void {
  let checked = 0;
  for (const [name, { elements }] of inferFacts(model).of(model.graph)) {
    const output = actual.get(name);
    if (elements === undefined || output === undefined) continue;
    elements.forEach((element, index) => {
      if (element === undefined) return;
      const expected = sizeOfDim(element, bound);
      if (Number.isNaN(expected)) return;
      expect(output.values[index], name).toBe(expected);
      checked++;
    });
  }
  if (model.graph.nodes.some(({ opType }) => opType === 'Shape'))
    expect(checked).toBeGreaterThan(0);
}
