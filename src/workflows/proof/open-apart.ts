import {
  onnxruntimeRunner,
  type SharedSessions,
} from '../../runners/onnxruntime/onnxruntime-runner.ts';
import type { Device, Runner } from '../../runners/runner.ts';

/** Two sessions whose runs can be timed in turns: the baseline's, then the artifact's. */
export type TimedSessions = Pick<SharedSessions, 'sessions' | 'timeInterleaved' | 'close'>;

/**
 * Opens a baseline in onnxruntime on the CPU and an artifact in its own runner. Each has a process of its own
 * and is timed inside it; they take turns run by run, and who begins alternates. Throws what loading throws.
 */
export async function openApart(
  baseline: string,
  artifact: { readonly path: string; readonly runner: Runner; readonly device: Device },
): Promise<TimedSessions> {
  const first = await onnxruntimeRunner.load(baseline, { device: 'cpu' });
  try {
    const second = await artifact.runner.load(artifact.path, { device: artifact.device });
    return {
      sessions: [first, second],
      async timeInterleaved(feedsA, feedsB, pairs, warmup) {
        const times = { a: [] as number[], b: [] as number[] };
        for (let pair = -warmup; pair < pairs; pair++) {
          const runA = async () => (await first.time(feedsA, 1))[0] ?? Number.NaN;
          const runB = async () => (await second.time(feedsB, 1))[0] ?? Number.NaN;
          const [early, late] = pair % 2 === 0 ? [runA, runB] : [runB, runA];
          const [one, other] = [await early(), await late()];
          if (pair < 0) continue;
          times.a.push(pair % 2 === 0 ? one : other);
          times.b.push(pair % 2 === 0 ? other : one);
        }
        return times;
      },
      async close() {
        await first.close();
        await second.close();
      },
    };
  } catch (error) {
    await first.close();
    throw error;
  }
}
