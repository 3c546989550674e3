import { describe, expect, it, vi } from 'vitest';
import { opsetVersion } from '../../src/ir/model.ts';
import { planQuantization } from '../../src/quantize/plan.ts';
import { builtInRecipe } from '../../src/recipe/load.ts';
import { applyQuantization } from '../../src/targets/onnx/apply.ts';
import { auditFusion } from '../../src/targets/onnx/audit-fusion.ts';
import { TENSORRT_LOWERING, TENSORRT_TWIN_LOWERING } from '../../src/targets/onnx/lowering.ts';
import { lintQdq } from '../../src/targets/tensorrt/lint-qdq.ts';
import { tensorrtWriter } from '../../src/targets/tensorrt/writer.ts';
import { agreement, cosine, fixture, runModel } from '../kit/run-model.ts';
import { exports, feeds, planFor } from './fixture-plans.ts';

// Real sessions of onnxruntime: on busy cores each takes seconds.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

describe.each(exports)('the real export $name', ({ name, layers, classes }) => {
  it('becomes W8A8 with every planned layer fused and the answers kept', async () => {
    const source = await fixture(name);
    const plan = await planFor(source, name, 'w8a8');
    const quantized = applyQuantization(source, plan);
    const result = await runModel(quantized, feeds(quantized, name, 'check'));
    const audit = auditFusion(result.optimized, plan);
    expect(audit.unfused).toEqual([]);
    expect(audit.fused).toBe(layers);
    const exact = await runModel(source, feeds(source, name, 'check'));
    const [a, b] = [exact.outputs.get('logits')!, result.outputs.get('logits')!];
    // Measured 0.9997 and 0.94 (minmax, 256 bytes of text); what is lost is lost below.
    expect(cosine(a, b)).toBeGreaterThan(0.999);
    expect(agreement(a, b, classes)).toBeGreaterThan(0.9);
  });

  it('becomes W8A16 with every planned layer fused and closer answers', async () => {
    const source = await fixture(name);
    const plan = planQuantization(source, builtInRecipe('w8a16'), new Map());
    const quantized = applyQuantization(source, plan);
    const result = await runModel(quantized, feeds(quantized, name, 'check'));
    expect(auditFusion(result.optimized, plan)).toMatchObject({ fused: layers, unfused: [] });
    const exact = await runModel(source, feeds(source, name, 'check'));
    const [a, b] = [exact.outputs.get('logits')!, result.outputs.get('logits')!];
    expect(cosine(a, b)).toBeGreaterThan(0.9999);
    expect(agreement(a, b, classes)).toBeGreaterThan(0.95);
  });

  it('becomes a TensorRT model without findings, and a twin with the same answers', async () => {
    const source = await fixture(name);
    const plan = await planFor(source, name, 'w8a8');
    const artifact = applyQuantization(source, plan, { lowering: TENSORRT_LOWERING });
    expect(await lintQdq(artifact)).toEqual([]);
    expect(opsetVersion(artifact)).toBe(Math.max(19, opsetVersion(source)!));
    const twin = applyQuantization(source, plan, { lowering: TENSORRT_TWIN_LOWERING });
    const fp16 = await runModel(artifact, feeds(artifact, name, 'check'));
    const fp32 = await runModel(twin, feeds(twin, name, 'check'));
    const audit = auditFusion(fp32.optimized, plan, tensorrtWriter.whyFloat);
    expect(audit.unfused).toEqual([]);
    expect(audit.planned).toBeGreaterThan(0);
    // FP16 rounding flips some integers of later layers, so the two are close, not equal.
    const [a, b] = [fp16.outputs.get('logits')!, fp32.outputs.get('logits')!];
    expect(cosine(a, b)).toBeGreaterThan(0.9995);
  });
});
