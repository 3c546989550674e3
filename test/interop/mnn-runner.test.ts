import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { RunnerError, UnavailableError, UsageError } from '../../src/errors.ts';
import { startMnn } from '../../src/runners/mnn/mnn-process.ts';
import { openMnn } from '../../src/runners/mnn/mnn-session.ts';
import type { Feeds } from '../../src/values/tensor-value.ts';
import { model, node, value } from '../kit/models.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';
import { mnnPython, writeLowered } from './run-mnn.ts';

const python = await mnnPython();

async function sine(): Promise<string> {
  const source = model({
    nodes: [node('Sin', ['in:0/x'], 'out:0/y')],
    inputs: [value('in:0/x', 'float32', ['n', 2])],
    outputs: [value('out:0/y', 'float32', ['n', 2])],
  });
  return writeLowered(source, temporaryFolder());
}

function feed(rows: number): Feeds {
  const data = Float32Array.from({ length: 2 * rows }, (_, at) => at / 10);
  return new Map([['in:0/x', { dataType: 'float32', dims: [rows, 2], data }]]);
}

describe.skipIf(python === undefined)('the MNN runner', () => {
  it('tells inputs and outputs with the names of their axes, runs, times and tells its memory', async () => {
    const session = await openMnn(await sine(), { python });
    expect(session.inputs).toEqual([{ name: 'in:0/x', dataType: 'float32', dims: ['n', 2] }]);
    expect(session.outputs).toEqual([{ name: 'out:0/y', dataType: 'float32', dims: ['n', 2] }]);
    for (const rows of [1, 4, 2]) {
      const found = (await session.run(feed(rows))).get('out:0/y');
      expect(found?.dims).toEqual([rows, 2]);
      expect(Number(found?.data[1])).toBeCloseTo(Math.sin(0.1), 6);
    }
    expect(await session.time(feed(2), 5)).toHaveLength(5);
    expect(await session.peakMemoryBytes()).toBeGreaterThan(20e6);
    await session.close();
    await expect(session.run(feed(1))).rejects.toThrow(/it is closed/);
  });

  it('says which input is missing, and that halves are not fed', async () => {
    const session = await openMnn(await sine(), { python });
    await expect(session.run(new Map())).rejects.toThrow(UsageError);
    const half = { dataType: 'float16', dims: [1, 2], data: new Uint16Array(2) } as const;
    await expect(session.run(new Map([['in:0/x', half]]))).rejects.toThrow(
      /is fed float32 \(got float16\)/,
    );
    expect((await session.run(feed(1))).size).toBe(1);
    await session.close();
  });

  it('refuses a number beyond int32, which would come out as another one', async () => {
    const source = model({
      nodes: [node('Neg', ['ids'], 'y')],
      inputs: [value('ids', 'int64', ['n'])],
      outputs: [value('y', 'int64', ['n'])],
    });
    const session = await openMnn(await writeLowered(source, temporaryFolder()), { python });
    const ids = (...numbers: bigint[]): Feeds =>
      new Map([
        ['ids', { dataType: 'int64', dims: [1], data: BigInt64Array.from(numbers) } as const],
      ]);
    expect([...(await session.run(ids(-2147483647n))).get('y')!.data]).toEqual([2147483647]);
    await expect(session.run(ids(2147483648n))).rejects.toThrow(
      'input ids: MNN is fed int32 (got 2147483648, expected -2147483648 to 2147483647)',
    );
    await session.close();
  });

  it('refuses a file whose description of its inputs is damaged', async () => {
    const path = await sine();
    const bytes = readFileSync(path, 'latin1');
    expect(bytes).toContain('"dataType":"float32"');
    writeFileSync(path, bytes.replace('"dataType":"float32"', '"dataType":"float99"'), 'latin1');
    await expect(openMnn(path, { python })).rejects.toThrow(
      /model\.mnn: is not the description .*inputs\.0\.dataType/,
    );
  });

  it('says what the runtime said of a file that it does not load', async () => {
    const path = join(temporaryFolder(), 'model.mnn');
    writeFileSync(path, 'not a graph, but long enough to be looked at');
    const opened = openMnn(path, { python });
    await expect(opened).rejects.toThrow(RunnerError);
    await expect(opened).rejects.toThrow(/model\.mnn: MNN: /);
  });

  it('says how the process died', async () => {
    const child = startMnn(python!);
    await child.ask({ command: 'peak' });
    const processes = execFileSync('ps', ['-A', '-o', 'pid=,ppid=,args='], { encoding: 'utf8' });
    const [pid] = processes
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter(([, parent, program]) => parent === String(process.pid) && program === python)
      .map(([id]) => Number(id));
    expect(pid).toBeDefined();
    process.kill(pid!, 'SIGSEGV');
    const answer = child.ask({ command: 'peak' });
    await expect(answer).rejects.toThrow(/^MNN: the runtime crashed \(SIGSEGV, signal 11\)/);
    await child.stop();
  });

  it('says what to type where a Python has no MNN', async () => {
    const path = await sine();
    await expect(openMnn(path, { python: process.execPath })).rejects.toThrow(UnavailableError);
  });
});
