import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { convertToFloat32 } from '../../src/passes/convert-to-float32.ts';
import { eliminateDead } from '../../src/passes/eliminate-dead.ts';
import { foldConstants } from '../../src/passes/fold-constants.ts';
import { runPasses } from '../../src/passes/pass.ts';
import { openModel } from '../../src/storage/model-file.ts';
import type { AttentionBlock, Block, FfnBlock } from '../../src/structure/block.ts';
import { findBlocks } from '../../src/structure/find-blocks.ts';
import { findLinears } from '../../src/structure/find-linears.ts';
import type { LinearRole } from '../../src/structure/linear-layer.ts';
import { recognize } from '../../src/structure/recognize.ts';

const isAttention = (block: Block): block is AttentionBlock => block.kind === 'attention';
const isFfn = (block: Block): block is FfnBlock => block.kind === 'ffn';

const SEPARATE: readonly LinearRole[] = ['q', 'k', 'v', 'attention-output'];

/** What the torch module is made of, so what every exporter's graph must show. */
const GLM: readonly (readonly [string, string, readonly LinearRole[], readonly LinearRole[]])[] = [
  ['dynamo-opset18', 'decomposed', SEPARATE, ['gate-up', 'down']],
  ['dynamo-opset23', 'attention', SEPARATE, ['gate-up', 'down']],
  ['torchscript', 'decomposed', SEPARATE, ['gate-up', 'down']],
  ['optimum', 'decomposed', SEPARATE, ['gate-up', 'down']],
  ['genai', 'group-query', ['qkv', 'attention-output'], ['gate', 'up', 'down']],
];

describe('recognize', () => {
  it.each(GLM)(
    'finds 6 layers of the GLM decoder in its %s export',
    async (name, form, attentionRoles, ffnRoles) => {
      const model = await openModel(`fixtures/glm-nano/${name}/model.onnx`);
      const { blocks, linears, norms, activations } = recognize(model);
      const attentions = blocks.filter(isAttention);
      const ffns = blocks.filter(isFfn);
      expect(blocks.map(({ kind, index }) => `${kind} ${index}`)).toEqual(
        [0, 1, 2, 3, 4, 5].flatMap((index) => [`attention ${index}`, `ffn ${index}`]),
      );
      for (const block of attentions) {
        expect(block).toMatchObject({ form, heads: 4, kvHeads: 2, headDim: 32 });
        expect(block.rotary?.pairing).toBe('interleaved');
        expect(block.linears.map(({ role }) => role)).toEqual(attentionRoles);
        expect(block.linears.every((layer) => layer.block === block.index)).toBe(true);
      }
      for (const block of ffns) {
        expect(block).toMatchObject({ activation: 'silu', gated: true, width: 384 });
        expect(block.gateHalf).toBe(ffnRoles.includes('gate-up') ? 'first' : undefined);
        expect(block.linears.map(({ role }) => role)).toEqual(ffnRoles);
      }
      // The sandwich: one norm before and one after each branch, and the last one before the head.
      expect(norms.map(({ kind }) => kind)).toEqual(new Array(25).fill('rms'));
      const around = blocks.flatMap((block) => [block.norms.before, block.norms.after]);
      expect(new Set(around).size).toBe(24);
      expect(around.every((norm) => norm !== undefined && norms.includes(norm))).toBe(true);
      expect(norms.every((norm) => norm.weight?.tensor.dims[0] === 128)).toBe(true);
      expect(activations.map(({ kind }) => kind)).toEqual(new Array(6).fill('silu'));
      expect(linears.map(({ role }) => role).filter((role) => role === 'other')).toEqual([]);
      expect(linears.at(-1)).toMatchObject({ role: 'head', outFeatures: 256, block: undefined });
      // The residual stream is one chain through all blocks.
      blocks.slice(1).forEach((block, at) => {
        expect(block.input).toBe(blocks[at]?.output);
      });
    },
  );

  it.each(['dynamo-opset18', 'optimum', 'torchscript-opset14'])(
    'finds 3 layers of the ViT in its %s export',
    async (name) => {
      const { blocks, linears, norms } = recognize(
        await openModel(`fixtures/vit-fashion/${name}/model.onnx`),
      );
      expect(blocks.filter(isAttention)).toHaveLength(3);
      expect(blocks.filter(isFfn)).toHaveLength(3);
      for (const block of blocks.filter(isAttention)) {
        expect(block).toMatchObject({ heads: 4, kvHeads: 4, headDim: 16, rotary: undefined });
        expect([...block.linears.map(({ role }) => role)].sort()).toEqual([...SEPARATE].sort());
      }
      for (const block of blocks.filter(isFfn)) {
        expect(block).toMatchObject({ activation: 'gelu', gated: false, width: 128 });
        expect(block.linears.map(({ role }) => role)).toEqual(['ffn-in', 'down']);
      }
      expect(norms.map(({ kind }) => kind)).toEqual(new Array(7).fill('layer'));
      expect(linears.filter(({ block }) => block === undefined).map(({ role }) => role)).toEqual([
        'embedding-projection',
        'head',
      ]);
      expect(linears.every(({ bias }) => bias !== undefined)).toBe(true);
    },
  );

  it('names layers by their modules, whatever the exporter calls the nodes', async () => {
    const names = async (name: string): Promise<readonly string[]> =>
      findLinears(await openModel(`fixtures/glm-nano/${name}/model.onnx`))
        .slice(0, 4)
        .map((layer) => layer.name);
    const modules = ['q_proj', 'k_proj', 'v_proj', 'o_proj'].map(
      (part) => `layers.0.self_attn.${part}`,
    );
    for (const exporter of ['dynamo-opset18', 'dynamo-opset23', 'torchscript']) {
      expect(await names(exporter)).toEqual(modules.map((module) => `model.model.${module}`));
    }
    expect(await names('optimum')).toEqual(modules.map((module) => `model.${module}`));
    expect(await names('genai')).toEqual([
      'model.layers.0.attn.qkv_proj',
      'model.layers.0.attn.o_proj',
      'model.layers.0.mlp.gate_proj',
      'model.layers.0.mlp.up_proj',
    ]);
  });

  it('finds the same after folding, cleaning and conversion to float32', async () => {
    for (const [name] of GLM) {
      const model = await openModel(`fixtures/glm-nano/${name}/model.onnx`);
      const twin = runPasses(model, [foldConstants, eliminateDead, convertToFloat32]);
      const shape = (blocks: readonly Block[]): unknown =>
        blocks.map(({ kind, index, name: label, linears }) => [
          kind,
          index,
          label,
          linears.map(({ role }) => role),
        ]);
      expect(shape(findBlocks(twin))).toEqual(shape(findBlocks(model)));
    }
  });

  // A folder with smollm2-optimum/ and smollm2-genai/, as fixtures/scripts makes them.
  const smollm2 = process.env['AUTOGLM_SMOLLM2'] ?? '';
  it.runIf(smollm2 !== '').each(['smollm2-optimum', 'smollm2-genai'])(
    'finds 30 + 30 blocks in %s in well under a second',
    async (name) => {
      const path = join(smollm2, name, 'model.onnx');
      expect(existsSync(path)).toBe(true);
      const model = await openModel(path);
      const start = performance.now();
      const { blocks } = recognize(model);
      expect(performance.now() - start).toBeLessThan(1000);
      expect(blocks.filter(isAttention)).toHaveLength(30);
      expect(blocks.filter(isFfn)).toHaveLength(30);
    },
  );
});
