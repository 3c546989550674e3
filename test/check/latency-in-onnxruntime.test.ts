import { describe, expect, it, vi } from 'vitest';
import {
  INTERLEAVED_SESSION_CONFIG,
  measureLatency,
  timeSessions,
} from '../../src/check/latency.ts';
import { openSessions } from '../../src/runners/onnxruntime/onnxruntime-runner.ts';
import type { Feeds } from '../../src/values/tensor-value.ts';
import { normals, saveTiny, squareMatMul } from './tiny-models.ts';

// Real sessions of onnxruntime: on busy cores each takes seconds.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

function rowsOf(size: number): Feeds {
  return new Map([
    ['x', { dataType: 'float32', dims: [8, size], data: normals(8 * size, 5) } as const],
  ]);
}

describe('measureLatency of two sessions of onnxruntime', () => {
  it('calls a product of 64 times the work slower', async () => {
    const [small, large] = [128, 1024];
    const options = { device: 'cpu', threads: 1, config: INTERLEAVED_SESSION_CONFIG } as const;
    const shared = await openSessions([
      { path: await saveTiny(squareMatMul(small)), options },
      { path: await saveTiny(squareMatMul(large)), options },
    ]);
    const latency = await measureLatency(
      timeSessions(shared, { baseline: rowsOf(small), artifact: rowsOf(large) }),
      { name: '8 rows', baseline: '128x128', device: 'cpu' },
      { seed: 1, pairs: 40, secondsPerSide: 0, budgetSeconds: 20 },
    );
    await shared.close();
    expect(latency.verdict).toBe('slower');
    expect(latency.speedupInterval.high).toBeLessThan(0.5);
    expect(latency.pairs).toBeGreaterThanOrEqual(40);
  });
});
