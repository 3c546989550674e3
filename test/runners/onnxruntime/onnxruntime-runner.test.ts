import { existsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { FormatError, RunnerError, UnsupportedError } from '../../../src/errors.ts';
import {
  onnxruntimeRunner,
  openSessions,
} from '../../../src/runners/onnxruntime/onnxruntime-runner.ts';
import type { Feeds, TensorValue } from '../../../src/values/tensor-value.ts';
import { BOOL, FLOAT, FLOAT16, INT64, matMulModel, tinyModel, writeTiny } from '../tiny-models.ts';

const CPU = { device: 'cpu' } as const;

function floats(dims: readonly number[], values: readonly number[]): TensorValue {
  return { dataType: 'float32', dims, data: Float32Array.from(values) };
}

const X = floats([1, 4], [1, 2, 3, 4]);
const W = floats([4, 2], [1, 0, 0, 1, 1, 0, 0, 1]);
const FEEDS: Feeds = new Map([
  ['x', X],
  ['w', W],
]);

describe('a session of onnxruntime', () => {
  it('declares its inputs with symbolic dims and runs', async () => {
    const session = await onnxruntimeRunner.load(writeTiny(matMulModel()), CPU);
    expect(session.inputs).toEqual([
      { name: 'x', dataType: 'float32', dims: ['rows', 4] },
      { name: 'w', dataType: 'float32', dims: [4, 2] },
    ]);
    const outputs = await session.run(FEEDS);
    // [1 2 3 4] @ w: column 0 is 1+3, column 1 is 2+4.
    expect(outputs.get('y')).toEqual(floats([1, 2], [4, 6]));
    await session.close();
  });

  it('moves float16 as bit patterns, int64 as bigints and bool as bytes', async () => {
    const path = writeTiny(
      tinyModel(
        [
          { opType: 'Add', inputs: ['h', 'h'], outputs: ['twice'] },
          { opType: 'Neg', inputs: ['i'], outputs: ['negative'] },
          { opType: 'Not', inputs: ['b'], outputs: ['inverse'] },
        ],
        [
          { name: 'h', type: FLOAT16, dims: [2] },
          { name: 'i', type: INT64, dims: [1] },
          { name: 'b', type: BOOL, dims: [2] },
        ],
        [
          { name: 'twice', type: FLOAT16, dims: [2] },
          { name: 'negative', type: INT64, dims: [1] },
          { name: 'inverse', type: BOOL, dims: [2] },
        ],
      ),
    );
    const session = await onnxruntimeRunner.load(path, CPU);
    const outputs = await session.run(
      new Map<string, TensorValue>([
        // 0x3c00 = 1, 0x3800 = 0.5
        ['h', { dataType: 'float16', dims: [2], data: Uint16Array.of(0x3c00, 0x3800) }],
        ['i', { dataType: 'int64', dims: [1], data: BigInt64Array.of(2n ** 53n + 1n) }],
        ['b', { dataType: 'bool', dims: [2], data: Uint8Array.of(0, 1) }],
      ]),
    );
    expect(outputs.get('twice')?.data).toEqual(Uint16Array.of(0x4000, 0x3c00));
    expect(outputs.get('negative')?.data).toEqual(BigInt64Array.of(-(2n ** 53n) - 1n));
    expect(outputs.get('inverse')?.data).toEqual(Uint8Array.of(1, 0));
    await session.close();
  });

  it('takes and gives empty tensors', async () => {
    const session = await onnxruntimeRunner.load(writeTiny(matMulModel()), CPU);
    const outputs = await session.run(new Map([...FEEDS, ['x', floats([0, 4], [])]]));
    expect(outputs.get('y')).toEqual(floats([0, 2], []));
    await session.close();
  });

  it('returns only what was asked for', async () => {
    const path = writeTiny(
      tinyModel(
        [
          { opType: 'Neg', inputs: ['x'], outputs: ['a'] },
          { opType: 'Abs', inputs: ['x'], outputs: ['b'] },
        ],
        [{ name: 'x', type: FLOAT, dims: [1] }],
        [
          { name: 'a', type: FLOAT, dims: [1] },
          { name: 'b', type: FLOAT, dims: [1] },
        ],
      ),
    );
    const session = await onnxruntimeRunner.load(path, CPU);
    const outputs = await session.run(new Map([['x', floats([1], [-3])]]), ['b']);
    expect([...outputs]).toEqual([['b', floats([1], [3])]]);
    await session.close();
  });

  it('leaves this process free while it works, and counts its own memory', async () => {
    const ballast = Buffer.alloc(256 << 20, 1);
    const session = await onnxruntimeRunner.load(writeTiny(matMulModel()), { ...CPU, threads: 1 });
    let ticks = 0;
    const timer = setInterval(() => ticks++, 2);
    const times = await session.time(FEEDS, 3000);
    clearInterval(timer);
    expect(times).toHaveLength(3000);
    expect(times.every((milliseconds) => milliseconds > 0)).toBe(true);
    expect(ticks).toBeGreaterThan(2);
    const peak = await session.peakMemoryBytes();
    expect(peak).toBeGreaterThan(20e6);
    // What this process holds must not be counted for the child that it forked.
    expect(peak).toBeLessThan(ballast.length);
    await session.close();
  });

  it('writes the optimised graph where it is told to', async () => {
    const path = writeTiny(matMulModel());
    const optimizedModelPath = join(dirname(path), 'optimized.onnx');
    const options = { ...CPU, optimization: 'basic', optimizedModelPath } as const;
    const session = await onnxruntimeRunner.load(path, options);
    expect(existsSync(optimizedModelPath)).toBe(true);
    await session.close();
  });
});

describe('two sessions in one process', () => {
  it('are timed in turns, one entry per pair', async () => {
    const path = writeTiny(matMulModel());
    const shared = await openSessions([
      { path, options: CPU },
      { path, options: { ...CPU, optimization: 'disabled' } },
    ]);
    const times = await shared.timeInterleaved(FEEDS, FEEDS, 7, 2);
    expect(times.a).toHaveLength(7);
    expect(times.b).toHaveLength(7);
    expect((await shared.sessions[1]!.run(FEEDS)).get('y')).toEqual(floats([1, 2], [4, 6]));
    await shared.close();
  });
});

describe('what goes wrong in a session', () => {
  it('names a file that is no model, in one sentence', async () => {
    const path = writeTiny(Buffer.from('hello world'), 'trash.onnx');
    const error = await onnxruntimeRunner.load(path, CPU).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(FormatError);
    expect((error as Error).message).toMatch(
      /trash\.onnx: onnxruntime refused the model \(.*Protobuf parsing failed\)\.$/,
    );
    expect((error as Error).message).not.toContain('\n');
  });

  it('names an op that nobody implements', async () => {
    const values = [{ name: 'x', type: 16, dims: [1] }];
    const path = writeTiny(
      tinyModel([{ opType: 'Add', inputs: ['x', 'x'], outputs: ['y'] }], values, [
        { name: 'y', type: 16, dims: [1] },
      ]),
    );
    await expect(onnxruntimeRunner.load(path, CPU)).rejects.toThrow(UnsupportedError);
    await expect(onnxruntimeRunner.load(path, CPU)).rejects.toThrow(/Add\(14\)/);
  });

  it('reports a refused run and goes on living', async () => {
    const session = await onnxruntimeRunner.load(writeTiny(matMulModel()), CPU);
    const wrong = new Map([...FEEDS, ['x', floats([1, 3], [1, 2, 3])]]);
    await expect(session.run(wrong)).rejects.toThrow(/model\.onnx: .*Got: 3 Expected: 4/);
    await expect(session.run(new Map([['x', X]]))).rejects.toThrow(/'w' is missing/);
    expect((await session.run(FEEDS)).get('y')?.data).toEqual(Float32Array.of(4, 6));
    await session.close();
  });

  it('refuses data that do not fit their type before they reach native code', async () => {
    const session = await onnxruntimeRunner.load(writeTiny(matMulModel()), CPU);
    const wrong = new Map<string, TensorValue>([
      ...FEEDS,
      ['x', { dataType: 'float32', dims: [1, 4], data: new Int32Array(4) }],
    ]);
    await expect(session.run(wrong)).rejects.toThrow(/expected Float32Array for float32/);
    await session.close();
  });

  it('rejects open and later calls when it is closed, and closes twice', async () => {
    const session = await onnxruntimeRunner.load(writeTiny(matMulModel()), CPU);
    const open = session.time(FEEDS, 1_000_000);
    const rejected = expect(open).rejects.toThrow(RunnerError);
    await session.close();
    await rejected;
    await session.close();
    await expect(session.run(FEEDS)).rejects.toThrow(/closed/);
  });
});

describe('a model that is gone', () => {
  it('is one sentence, too', async () => {
    const path = writeTiny(matMulModel());
    const absent = join(dirname(path), 'absent.onnx');
    await expect(onnxruntimeRunner.load(absent, CPU)).rejects.toThrow(
      /absent\.onnx: there is no such file/,
    );
    writeFileSync(absent, '');
    await expect(onnxruntimeRunner.load(absent, CPU)).rejects.toThrow(FormatError);
  });
});
