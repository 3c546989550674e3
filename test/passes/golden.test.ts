import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { validate } from '../../src/ir/validate.ts';
import { PASSES } from '../../src/passes/index.ts';
import { parseModel, printModel } from '../golden/graph-text.ts';
import { makeFeeds, runOnce } from '../kit/run-once.ts';
import { deepFreeze } from './deep-freeze.ts';

/** Each file is a model, a line with `=>`, and the model after the pass that the file is named after. */
const folder = new URL('../golden/passes/', import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith('.txt'));
const context = { decline: () => {} };

/** Passes that may change element types at the interface, and how far their outputs may be off. */
const TOLERANCES: Readonly<Record<string, number>> = { 'convert-to-float32': 0.004 };

describe('passes', () => {
  it.each(PASSES.map(({ name }) => name))('%s has golden cases', (name) => {
    expect(files.filter((file) => file.startsWith(`${name}.`)).length).toBeGreaterThan(0);
  });

  describe.each(files)('%s', (file) => {
    const [before = '', after = ''] = readFileSync(new URL(file, folder), 'utf8').split(/^=>$/m);
    const pass = PASSES.find(({ name }) => file.startsWith(`${name}.`));
    if (pass === undefined) throw new Error(`${file}: no pass has this name`);
    const model = deepFreeze(parseModel(before));
    const result = pass.run(model, context);

    it('gives the expected graph', () => {
      expect(printModel(result)).toBe(printModel(parseModel(after)));
    });

    it('gives a valid graph', () => {
      expect(validate(model)).toEqual([]);
      expect(validate(result)).toEqual([]);
    });

    it('changes nothing the second time', () => {
      expect(pass.run(deepFreeze(result), context)).toBe(result);
    });

    it('keeps the interface', () => {
      const names = ({ graph }: typeof model): readonly string[] =>
        [...graph.inputs, ...graph.outputs].map(({ name }) => name);
      expect(names(result)).toEqual(names(model));
      if (TOLERANCES[pass.name] !== undefined) return;
      expect(result.graph.inputs).toBe(model.graph.inputs);
      expect(result.graph.outputs).toBe(model.graph.outputs);
    });

    it('keeps the outputs in onnxruntime', async () => {
      const feeds = makeFeeds(model);
      const [expected, actual] = [await runOnce(model, feeds), await runOnce(result, feeds)];
      for (const [name, { dims, values }] of expected) {
        const got = actual.get(name);
        expect(got?.dims).toEqual(dims);
        const scale = Math.max(...values.map(Math.abs));
        // float16 keeps 11 bits; two or three operations lose a few units in the last place.
        const tolerance = (TOLERANCES[pass.name] ?? 0) * scale;
        const worst = Math.max(
          ...values.map((value, index) => Math.abs(value - (got?.values[index] ?? NaN))),
        );
        expect(worst).toBeLessThanOrEqual(tolerance);
      }
    });
  });
});
