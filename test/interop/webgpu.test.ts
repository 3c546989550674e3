import { describe, expect, it } from 'vitest';
import { float16ToFloat32, float32ArrayToFloat16 } from '../../src/numerics/float16.ts';
import { unavailableReason } from '../../src/runners/onnxruntime/onnxruntime-devices.ts';
import { onnxruntimeRunner } from '../../src/runners/onnxruntime/onnxruntime-runner.ts';
import { findPlacement } from '../../src/runners/onnxruntime/placement.ts';
import type { Feeds } from '../../src/values/tensor-value.ts';
import { FLOAT16, matMulModel, tinyModel, writeTiny } from '../runners/tiny-models.ts';

const reason = await unavailableReason('webgpu');
const isCi = process.env['CI'] === 'true';
if (reason !== undefined && !isCi) {
  console.log(`skipped: WebGPU (${reason}). test/interop/install-lavapipe.sh installs a driver.`);
}

const FEEDS: Feeds = new Map([
  [
    'x',
    { dataType: 'float16', dims: [1, 4], data: float32ArrayToFloat16(Float32Array.of(1, 2, 3, 4)) },
  ],
  [
    'w',
    {
      dataType: 'float16',
      dims: [4, 2],
      data: float32ArrayToFloat16(Float32Array.of(1, 0.5, 0, 1, 1, -0.25, 0, 1)),
    },
  ],
]);

describe.skipIf(reason !== undefined && !isCi)('onnxruntime on WebGPU', () => {
  it('has an adapter', () => {
    expect(reason).toBeUndefined();
  });

  it('multiplies float16 matrices exactly where the numbers allow it', async () => {
    const session = await onnxruntimeRunner.load(writeTiny(matMulModel(FLOAT16)), {
      device: 'webgpu',
    });
    const y = (await session.run(FEEDS)).get('y')!;
    expect(y.dims).toEqual([1, 2]);
    // Column 0: 1 + 3; column 1: 0.5 + 2 - 0.75 + 4.
    expect(Array.from(y.data as Uint16Array, float16ToFloat32)).toEqual([4, 5.75]);
    await session.close();
  });

  it('shows that the product ran there', async () => {
    const path = writeTiny(matMulModel(FLOAT16));
    const placement = await findPlacement(path, { device: 'webgpu' }, FEEDS);
    expect(placement.providers).toMatchObject([
      { provider: 'WebGpuExecutionProvider', operators: [{ opType: 'MatMul' }] },
    ]);
    expect(placement.elsewhere).toEqual([]);
  });

  it('shows a node that silently fell back to the CPU', async () => {
    const path = writeTiny(
      tinyModel(
        [
          { opType: 'MatMul', inputs: ['x', 'w'], outputs: ['y'] },
          // WebGPU has no kernel for it.
          { opType: 'Det', inputs: ['s'], outputs: ['d'] },
        ],
        [
          { name: 'x', type: FLOAT16, dims: ['rows', 4] },
          { name: 'w', type: FLOAT16, dims: [4, 2] },
          { name: 's', type: 1, dims: [2, 2] },
        ],
        [
          { name: 'y', type: FLOAT16, dims: ['rows', 2] },
          { name: 'd', type: 1, dims: [] },
        ],
      ),
    );
    const feeds: Feeds = new Map([
      ...FEEDS,
      ['s', { dataType: 'float32', dims: [2, 2], data: Float32Array.of(1, 2, 3, 4) }],
    ]);
    const placement = await findPlacement(path, { device: 'webgpu' }, feeds);
    expect(placement.elsewhere.map(({ opType, provider }) => [opType, provider])).toEqual([
      ['Det', 'CPUExecutionProvider'],
    ]);
  });
});
