import { describe, expect, it } from 'vitest';
import { kernelKind, summarizeKernels } from '../../src/check/kernel-times.ts';
import { profileKernels, withoutFirstRun } from '../../src/runners/onnxruntime/kernel-profile.ts';
import type { KernelTime } from '../../src/runners/onnxruntime/session-commands.ts';
import { normals, quantizedLanguageModel, saveTiny, squareMatMul } from './tiny-models.ts';

function call(node: string, opType: string, milliseconds: number): KernelTime {
  return { node, opType, provider: 'CPUExecutionProvider', milliseconds };
}

describe('time by kind of kernel', () => {
  it('is per run, most first, with integer kernels by name: by hand', () => {
    const run = [
      call('q', 'MatMulIntegerToFloat', 3),
      call('k', 'MatMulIntegerToFloat', 1),
      call('scores', 'FusedMatMul', 2),
      call('norm', 'SkipSimplifiedLayerNormalization', 0.5),
      call('add', 'Add', 0.25),
      call('mul', 'Mul', 0.25),
      call('down', 'MatMulNBits', 1),
    ];
    expect(summarizeKernels([...run, ...run], 2)).toEqual({
      milliseconds: 8,
      kinds: [
        { kind: 'MatMulIntegerToFloat', callsPerRun: 2, milliseconds: 4, share: 0.5 },
        { kind: 'MatMul, Gemm (float)', callsPerRun: 1, milliseconds: 2, share: 0.25 },
        { kind: 'MatMulNBits', callsPerRun: 1, milliseconds: 1, share: 0.125 },
        { kind: 'normalization', callsPerRun: 1, milliseconds: 0.5, share: 0.0625 },
        { kind: 'other', callsPerRun: 2, milliseconds: 0.5, share: 0.0625 },
      ],
    });
  });

  it('takes the median run of a node, calls of one run together', () => {
    const body = [1, 2, 1, 2, 1, 50].map((milliseconds) => call('body', 'Add', milliseconds));
    expect(summarizeKernels(body, 3)).toEqual({
      milliseconds: 3,
      kinds: [{ kind: 'other', callsPerRun: 2, milliseconds: 3, share: 1 }],
    });
  });

  it('does not count a body twice: once inside, once as the node that holds it', () => {
    const found = summarizeKernels([call('body/y', 'MatMul', 2), call('branch', 'If', 2.1)], 1);
    expect(found.milliseconds).toBe(2);
  });

  it.each([
    ['Gemm', 'MatMul, Gemm (float)'],
    ['GroupQueryAttention', 'attention'],
    ['FusedConv', 'convolution (float)'],
    ['LayerNormalization', 'normalization'],
    ['DynamicQuantizeLinear', 'quantize, dequantize'],
    ['DynamicQuantizeMatMul', 'DynamicQuantizeMatMul'],
    ['Softmax', 'other'],
  ])('calls %s %s', (opType, kind) => {
    expect(kernelKind(opType)).toBe(kind);
  });
});

describe('the profile of onnxruntime', () => {
  it('leaves out the first run of every node, also of one that is called several times a run', () => {
    const run = (start: number): readonly KernelTime[] => [
      call('a', 'MatMul', start),
      call('body', 'Add', start + 1),
      call('body', 'Add', start + 2),
    ];
    const kernels = [...run(10), ...run(20), ...run(30)];
    expect(withoutFirstRun(kernels, 3).map(({ milliseconds }) => milliseconds)).toEqual([
      20, 21, 22, 30, 31, 32,
    ]);
  });

  it('counts the calls of one run of a real session, however many were profiled', async () => {
    const path = await saveTiny(squareMatMul(64));
    const data = normals(8 * 64, 3);
    const feeds = new Map([['x', { dataType: 'float32', dims: [8, 64], data } as const]]);
    const limits = { runs: 4, milliseconds: 10_000 };
    const { runs, kernels } = await profileKernels(path, { device: 'cpu' }, feeds, limits);
    expect(runs).toBe(4);
    const { milliseconds, kinds } = summarizeKernels(kernels, runs);
    expect(kinds).toMatchObject([{ kind: 'MatMul, Gemm (float)', callsPerRun: 1, share: 1 }]);
    expect(milliseconds).toBeGreaterThan(0);
  });

  it('names the kernels of a quantized model', async () => {
    const path = await saveTiny(quantizedLanguageModel());
    const data = BigInt64Array.from({ length: 16 }, (_, index) => BigInt(index));
    const feeds = new Map([['input_ids', { dataType: 'int64', dims: [1, 16], data } as const]]);
    const limits = { runs: 2, milliseconds: 10_000 };
    const { runs, kernels } = await profileKernels(path, { device: 'cpu' }, feeds, limits);
    const kinds = summarizeKernels(kernels, runs).kinds.map(({ kind }) => kind);
    expect(kinds).toContain('MatMulNBits');
  });
});
