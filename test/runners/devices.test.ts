import { describe, expect, it } from 'vitest';
import { UnavailableError } from '../../src/errors.ts';
import { chooseDevice, probeDevices } from '../../src/runners/devices.ts';
import { parseCpuInfo, parseSysctl } from '../../src/runners/instruction-sets.ts';
import { unavailableReason } from '../../src/runners/onnxruntime/onnxruntime-devices.ts';
import { findPlacement, summarizePlacement } from '../../src/runners/onnxruntime/placement.ts';
import { parseTrtexecVersion } from '../../src/runners/tensorrt/trtexec.ts';
import { matMulModel, writeTiny } from './tiny-models.ts';

describe('the machine report', () => {
  it('is plain data in which the CPU always works and every other device works or says why', async () => {
    const report = await probeDevices();
    expect(JSON.parse(JSON.stringify(report))).toMatchObject({ platform: report.platform });
    expect(report.onnxruntime.version).toMatch(/^\d+\.\d+\.\d+$/);
    expect(report.onnxruntime.devices.map(({ device }) => device)).toEqual([
      'cpu',
      'webgpu',
      'cuda',
      'tensorrt',
    ]);
    expect(report.onnxruntime.devices[0]?.reason).toBeUndefined();
    for (const { reason } of report.onnxruntime.devices.slice(1)) {
      if (reason !== undefined) expect(reason).toMatch(/\w+ .*\w+/);
    }
    expect(report.cpu.cores).toBeGreaterThan(0);
    expect(report.memoryBytes).toBeGreaterThan(1e8);
  });
});

describe('the choice of a device', () => {
  it('takes what works for auto and says why not the better ones', async () => {
    const { device, passedOver } = await chooseDevice('auto');
    expect(await unavailableReason(device)).toBeUndefined();
    const better = ['tensorrt', 'cuda', 'webgpu', 'cpu'];
    expect(passedOver.map((passed) => passed.device)).toEqual(
      better.slice(0, better.indexOf(device)),
    );
  });

  it('refuses a device that was asked for and does not work', async () => {
    for (const device of ['tensorrt', 'cuda', 'webgpu'] as const) {
      const reason = await unavailableReason(device);
      if (reason === undefined) expect((await chooseDevice(device)).device).toBe(device);
      else await expect(chooseDevice(device)).rejects.toThrow(UnavailableError);
    }
  });
});

describe('the placement of nodes', () => {
  it('counts what really ran on the CPU', async () => {
    const feeds = new Map([
      ['x', { dataType: 'float32', dims: [1, 4], data: new Float32Array(4) } as const],
      ['w', { dataType: 'float32', dims: [4, 2], data: new Float32Array(8) } as const],
    ]);
    const placement = await findPlacement(writeTiny(matMulModel()), { device: 'cpu' }, feeds);
    expect(placement.providers).toMatchObject([
      {
        provider: 'CPUExecutionProvider',
        nodeCount: 1,
        operators: [{ opType: 'MatMul', nodeCount: 1 }],
      },
    ]);
    expect(placement.providers[0]?.milliseconds).toBeGreaterThan(0);
    expect(placement.elsewhere).toEqual([]);
  });

  it('lists nodes that fell back from the requested device, but not the copies', () => {
    const on = (provider: string, opType: string) => ({
      node: opType,
      opType,
      provider,
      milliseconds: 1,
    });
    const fallen = on('CPUExecutionProvider', 'MatMulInteger');
    const placement = summarizePlacement(
      [
        on('WebGpuExecutionProvider', 'MatMul'),
        on('WebGpuExecutionProvider', 'MatMul'),
        fallen,
        on('WebGpuExecutionProvider', 'MemcpyToHost'),
      ],
      'webgpu',
    );
    expect(placement.elsewhere).toEqual([fallen]);
    expect(placement.copyCount).toBe(1);
    expect(placement.providers.map(({ nodeCount }) => nodeCount)).toEqual([2, 1]);
  });
});

describe('instruction sets', () => {
  it('are read from the flags of Linux on x86 and ARM', () => {
    expect(parseCpuInfo('processor : 0\nflags\t\t: fpu avx2 avx512f avx512_vnni\n')).toEqual([
      'avx2',
      'avx512f',
      'avx512_vnni',
    ]);
    expect(parseCpuInfo('Features\t: fp asimd asimddp i8mm\n')).toEqual([
      'neon',
      'neon_dotprod',
      'neon_i8mm',
    ]);
  });

  it('are read from sysctl only where it says 1', () => {
    expect(
      parseSysctl(
        'hw.optional.neon: 1\nhw.optional.arm.FEAT_DotProd: 1\nhw.optional.arm.FEAT_SME: 0',
      ),
    ).toEqual(['neon', 'neon_dotprod']);
  });
});

describe('the version of trtexec', () => {
  it('is unpacked from its banner', () => {
    expect(parseTrtexecVersion('&&&& RUNNING TensorRT.trtexec [TensorRT v100300] # trtexec')).toBe(
      '10.3.0',
    );
    expect(parseTrtexecVersion('&&&& RUNNING TensorRT.trtexec [TensorRT v8601] # trtexec')).toBe(
      '8.6.1',
    );
    expect(parseTrtexecVersion('usage: trtexec')).toBeUndefined();
  });
});
