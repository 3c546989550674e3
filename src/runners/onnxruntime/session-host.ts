/** Sessions of onnxruntime inside this process. Runs block it: only child processes import this. */
import { mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { env, InferenceSession, type Tensor } from 'onnxruntime-node';
import { RunnerError } from '../../errors.ts';
import type { KnownDataType } from '../../ir/data-type.ts';
import type { Feeds, TensorValue } from '../../values/tensor-value.ts';
import type { LoadOptions, SessionValue } from '../runner.ts';
import { fromOnnxruntime, toOnnxruntime } from './onnxruntime-tensors.ts';
import type { InterleavedTimes, KernelTime, OpenInput } from './session-commands.ts';

// Warnings about placement and missing fast paths are for us to find out, not for the reader.
env.logLevel = 'error';

/** Opens a model. Throws what onnxruntime says. */
export function openSession(input: OpenInput): Promise<InferenceSession> {
  const options = sessionOptions(input.options, input.profileFolder);
  return typeof input.model === 'string'
    ? InferenceSession.create(input.model, options)
    : InferenceSession.create(input.model, options);
}

/** Returns names, types and dims; a value that is no tensor cannot be fed or fetched and is left out. */
export function describeValues(
  metadata: readonly InferenceSession.ValueMetadata[],
): readonly SessionValue[] {
  return metadata.flatMap((value) =>
    value.isTensor
      ? [{ name: value.name, dataType: value.type as KnownDataType, dims: [...value.shape] }]
      : [],
  );
}

/** Runs once; `fetches` limits what is computed and returned. */
export async function runSession(
  session: InferenceSession,
  feeds: Feeds,
  fetches?: readonly string[],
): Promise<Feeds> {
  const inputs = toOnnxruntime(feeds);
  const outputs = await (fetches === undefined
    ? session.run(inputs)
    : session.run(inputs, fetches));
  const values = new Map<string, TensorValue>();
  for (const [name, value] of Object.entries(outputs)) {
    values.set(name, fromOnnxruntime(name, value as Tensor));
  }
  return values;
}

/** Runs `count` times; milliseconds of each run, without the conversion of feeds. */
export async function timeSession(
  session: InferenceSession,
  feeds: Feeds,
  count: number,
): Promise<readonly number[]> {
  const inputs = toOnnxruntime(feeds);
  const times: number[] = [];
  for (let run = 0; run < count; run++) times.push(await timeRun(session, inputs));
  return times;
}

/**
 * Times two sessions in turns, so that both see the same clock speed, heat and neighbours. Who goes
 * first changes with every pair (a b, b a, ...), which cancels the effect of going second.
 */
export async function timeSessionsInterleaved(
  a: { readonly session: InferenceSession; readonly feeds: Feeds },
  b: { readonly session: InferenceSession; readonly feeds: Feeds },
  pairs: number,
  warmup: number,
): Promise<InterleavedTimes> {
  const sides = [
    { session: a.session, inputs: toOnnxruntime(a.feeds), times: [] as number[] },
    { session: b.session, inputs: toOnnxruntime(b.feeds), times: [] as number[] },
  ] as const;
  for (let pair = -warmup; pair < pairs; pair++) {
    const order = pair % 2 === 0 ? sides : ([sides[1], sides[0]] as const);
    for (const side of order) {
      const milliseconds = await timeRun(side.session, side.inputs);
      if (pair >= 0) side.times.push(milliseconds);
    }
  }
  return { a: sides[0].times, b: sides[1].times };
}

async function timeRun(session: InferenceSession, inputs: Record<string, Tensor>): Promise<number> {
  const start = performance.now();
  await session.run(inputs);
  return performance.now() - start;
}

function sessionOptions(
  options: LoadOptions,
  profileFolder: string | undefined,
): InferenceSession.SessionOptions {
  return {
    executionProviders: [options.device],
    logSeverityLevel: 3,
    ...(options.threads !== undefined && {
      intraOpNumThreads: options.threads,
      interOpNumThreads: 1,
    }),
    ...(options.optimization !== undefined && { graphOptimizationLevel: options.optimization }),
    ...(options.config !== undefined && { extra: { ...options.config } }),
    ...(options.optimizedModelPath !== undefined && {
      optimizedModelFilePath: options.optimizedModelPath,
    }),
    ...(profileFolder !== undefined && {
      enableProfiling: true,
      profileFilePrefix: join(madeFolder(profileFolder), 'profile'),
    }),
  };
}

function madeFolder(folder: string): string {
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** Ends profiling and returns every kernel call, from the one profile in `folder`. */
export function readProfile(session: InferenceSession, folder: string): readonly KernelTime[] {
  session.endProfiling();
  const file = readdirSync(folder).find((name) => name.endsWith('.json'));
  if (file === undefined) throw new RunnerError('onnxruntime wrote no profile.');
  const events = JSON.parse(readFileSync(join(folder, file), 'utf8')) as readonly ProfileEvent[];
  return events.flatMap(({ cat, name, dur, args }) => {
    if (cat !== 'Node' || !name.endsWith('_kernel_time')) return [];
    const node = name.slice(0, -'_kernel_time'.length);
    const { op_name: opType = '', provider = '' } = args;
    return [{ node, opType, provider, milliseconds: dur / 1000 }];
  });
}

interface ProfileEvent {
  readonly cat: string;
  readonly name: string;
  /** Microseconds. */
  readonly dur: number;
  readonly args: { readonly op_name?: string; readonly provider?: string };
}
