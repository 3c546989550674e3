import { describe, expect, it } from 'vitest';
import { convertToFloat32 } from '../../../src/passes/convert-to-float32.ts';
import { runPasses } from '../../../src/passes/pass.ts';
import { planQuantization } from '../../../src/quantize/plan.ts';
import { parseRecipe } from '../../../src/recipe/load.ts';
import { findLinears } from '../../../src/structure/find-linears.ts';
import { observeInputs } from '../../../src/workflows/stages/observed-inputs.ts';
import { ranges } from '../../kit/models.ts';
import { fixture } from '../../kit/run-model.ts';

async function observe(recipeText: string) {
  const source = await fixture('glm-nano/optimum');
  const twin = runPasses(source, [convertToFloat32]);
  const known = ranges(Object.fromEntries(findLinears(twin).map(({ input }) => [input, [-1, 1]])));
  const plan = planQuantization(source, parseRecipe(recipeText, 'test'), known);
  const planned = plan.layers.filter(({ scheme }) => scheme !== 'float' && scheme !== 'w8a16');
  return { plan, planned, ...observeInputs(source, plan, planned) };
}

describe('observeInputs', () => {
  it('sees what one plane holds, and what two planes stand for, in the quantized model', async () => {
    const { planned, layers, values, model } = await observe('{ name: a, gatedDown: w8a8x2 }');
    const producers = new Map(
      model.graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)),
    );
    for (const { name, scheme } of planned) {
      const { value, width } = values.get(layers.get(name)!.input)!;
      expect(width).toBe(layers.get(name)!.inFeatures);
      const isDequantized = producers.get(value)?.opType === 'DequantizeLinear';
      expect(isDequantized).toBe(scheme === 'w8a8');
    }
    expect(planned.filter(({ scheme }) => scheme === 'w8a8x2')).toHaveLength(6);
  });

  it('sees what is rounded in each run as it is before', async () => {
    const { planned, layers, values, model } = await observe(
      '{ name: a, activations: { dynamic: true }, gatedDown: w8a8 }',
    );
    for (const { name } of planned) {
      const { value } = values.get(layers.get(name)!.input)!;
      const readers = model.graph.nodes.filter(({ inputs }) => inputs.includes(value));
      expect(readers.map(({ opType }) => opType)).toContain('DynamicQuantizeLinear');
    }
  });

  it('sees 4-bit layers in the float model', async () => {
    const { values, model } = await observe(
      '{ name: a, weights: { bits: 4, granularity: block }, activations: { bits: float } }',
    );
    for (const [input, { value }] of values) expect(value).toBe(input);
    expect(model.graph.nodes.some(({ opType }) => opType === 'DequantizeLinear')).toBe(false);
  });
});
