import type { Feeds } from '../../values/tensor-value.ts';
import type { Child } from '../process/child.ts';
import type { LoadOptions, Runner, Session } from '../runner.ts';
import { ONNXRUNTIME_DEVICES, unavailableReason, webgpuIsSoftware } from './onnxruntime-devices.ts';
import { loadError, withModelName } from './onnxruntime-errors.ts';
import { findOnnxruntime } from './onnxruntime-package.ts';
import type { InterleavedTimes, SessionCommands } from './session-commands.ts';
import { startOnnxruntime } from './start-onnxruntime.ts';

/** A model and how to open it. */
export interface ModelToOpen {
  readonly path: string;
  readonly options: LoadOptions;
}

/** Sessions that share one process, so that their runs can be timed in turns. */
export interface SharedSessions {
  /** In the order of the models; closing one closes all. */
  readonly sessions: readonly Session[];
  /**
   * Times the first and the second session in turns inside the process, after `warmup` pairs that
   * are not counted. Entry i of both arrays is pair i, in milliseconds; who runs first alternates.
   */
  timeInterleaved(
    feedsA: Feeds,
    feedsB: Feeds,
    pairs: number,
    warmup: number,
  ): Promise<InterleavedTimes>;
  /** Peak resident set of the process, so far. */
  peakMemoryBytes(): Promise<number>;
  close(): Promise<void>;
}

/**
 * Opens models in one child process, in order. Throws {@link FormatError} for a model that
 * onnxruntime refuses, {@link UnavailableError} for a device that is not there,
 * {@link UnsupportedError} for an op or type without a kernel, {@link RunnerError} for a crash.
 */
export async function openSessions(models: readonly ModelToOpen[]): Promise<SharedSessions> {
  const child = startOnnxruntime<SessionCommands>(import.meta.url, 'session-process');
  try {
    const sessions: Session[] = [];
    for (const model of models) sessions.push(await openIn(child, model));
    return {
      sessions,
      timeInterleaved: (feedsA, feedsB, pairs, warmup) =>
        withModelName(models[0]?.path ?? '', () =>
          child.call('timeInterleaved', {
            a: { session: 0, feeds: feedsA },
            b: { session: 1, feeds: feedsB },
            pairs,
            warmup,
          }),
        ),
      peakMemoryBytes: () => child.call('memory', undefined),
      close: () => child.stop(),
    };
  } catch (error) {
    await child.stop();
    throw error;
  }
}

async function openIn(child: Child<SessionCommands>, model: ModelToOpen): Promise<Session> {
  const { path, options } = model;
  let opened: SessionCommands['open']['output'];
  try {
    opened = await child.call('open', { model: path, options });
  } catch (error) {
    throw loadError(path, options, error);
  }
  const { session, inputs, outputs } = opened;
  return {
    inputs,
    outputs,
    run: (feeds, fetches) =>
      withModelName(path, () => child.call('run', { session, feeds, fetches })),
    time: (feeds, count) =>
      withModelName(path, () => child.call('time', { session, feeds, count })),
    peakMemoryBytes: () => child.call('memory', undefined),
    close: () => child.stop(),
  };
}

/** onnxruntime, with every session in a child process of its own. */
export const onnxruntimeRunner: Runner = {
  id: 'onnxruntime',
  reads: ['onnx'],
  devices: ONNXRUNTIME_DEVICES,
  independent: true,
  async version() {
    const found = findOnnxruntime();
    return typeof found === 'string' ? 'onnxruntime' : `onnxruntime ${found.version}`;
  },
  unavailable: unavailableReason,
  whyNotAuto: (device) =>
    device === 'webgpu' && webgpuIsSoftware()
      ? 'its Vulkan driver computes on the CPU, slower than the cpu device'
      : undefined,
  async load(path, options) {
    const { sessions } = await openSessions([{ path, options }]);
    return sessions[0]!;
  },
};
