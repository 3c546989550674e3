/** Entry of the child process that compares models by their logits, which never leave it. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { InferenceSession } from 'onnxruntime-node';
import { RunnerError } from '../../errors.ts';
import {
  compareWithReference,
  makeLogitReference,
  NO_TARGET,
  type ReferenceRows,
} from '../../numerics/logit-reference.ts';
import { describeValues, openSession, runSession } from '../../runners/onnxruntime/session-host.ts';
import { serveCommands } from '../../runners/process/child-commands.ts';
import { elementsFromBytes, toFloat32 } from '../../values/element-array.ts';
import type { JudgeCommands, JudgedWindow } from './judge-commands.ts';

interface Kept {
  readonly file: string;
  readonly classCount: number;
  readonly rows: ReferenceRows;
}

let session: InferenceSession | undefined;
const references = new Map<number, Kept>();

serveCommands<JudgeCommands>({
  async open({ path, options }) {
    await session?.release();
    session = undefined;
    session = await openSession({ model: path, options });
    return describeValues(session.outputMetadata);
  },
  async keep(window) {
    const { values, classCount } = await logitsOf(window);
    const rowCount = values.length / classCount;
    // A model that returns fewer positions than it was fed is compared there, but not judged.
    const targets =
      window.targets.length === rowCount
        ? window.targets
        : new Int32Array(rowCount).fill(NO_TARGET);
    const { probabilities, rows } = makeLogitReference(values, classCount, targets);
    const { buffer, byteOffset, byteLength } = probabilities;
    writeFileSync(window.file, new Uint8Array(buffer, byteOffset, byteLength));
    references.set(window.index, { file: window.file, classCount, rows });
    return undefined;
  },
  async compare(window) {
    const kept = references.get(window.index);
    if (kept === undefined) throw new RunnerError(`judge: no reference ${window.index} is kept.`);
    const { values } = await logitsOf(window);
    const probabilities = elementsFromBytes('float32', readFileSync(kept.file)) as Float32Array;
    return compareWithReference({ ...kept, probabilities }, values);
  },
  memory: async () => process.memoryUsage.rss(),
});

async function logitsOf({
  feeds,
  output,
}: JudgedWindow): Promise<{ values: Float32Array; classCount: number }> {
  if (session === undefined) throw new RunnerError('judge: no model is open.');
  const value = (await runSession(session, feeds, [output])).get(output);
  if (value === undefined) throw new RunnerError(`output ${output}: the model did not give it.`);
  return { values: toFloat32(value), classCount: value.dims.at(-1) ?? 1 };
}
