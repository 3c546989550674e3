import { readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { validate } from '../../src/ir/validate.ts';
import { PASSES } from '../../src/passes/index.ts';
import { runPasses } from '../../src/passes/pass.ts';
import { inspectModel } from '../../src/quantize/inspect/inspect-model.ts';
import { openModel } from '../../src/storage/model-file.ts';
import { deepFreeze } from './deep-freeze.ts';

/** Small files with corners of the format: bodies that capture, functions, sparse and typed constants. */
const files = readdirSync('fixtures/onnx').filter((name) => name.endsWith('.onnx'));

describe.each(files)('fixtures/onnx/%s', (file) => {
  it('stays valid through every pass, twice, without being touched', async () => {
    const model = deepFreeze(await openModel(`fixtures/onnx/${file}`));
    expect(validate(model)).toEqual([]);
    const once = deepFreeze(runPasses(model, PASSES));
    expect(validate(once)).toEqual([]);
    // What the last pass puts in place of calls is new to those before it.
    const result = deepFreeze(runPasses(once, PASSES));
    expect(validate(result)).toEqual([]);
    expect(runPasses(result, PASSES)).toBe(result);
    expect(result.graph.outputs.map(({ name }) => name)).toEqual(
      model.graph.outputs.map(({ name }) => name),
    );
    expect(result.metadata).toBe(model.metadata);
  });

  it('can be inspected', async () => {
    const summary = inspectModel(await openModel(`fixtures/onnx/${file}`));
    expect(summary.nodeCount).toBeGreaterThan(0);
    expect(JSON.parse(JSON.stringify(summary)).irVersion).toBe(summary.irVersion);
  });
});
