/** Entry of the child process that runs a model and folds its activations into statistics. */
import type { InferenceSession } from 'onnxruntime-node';
import { RunnerError } from '../../errors.ts';
import { openSession, runSession } from '../../runners/onnxruntime/session-host.ts';
import { serveCommands } from '../../runners/process/child-commands.ts';
import { toFloat32 } from '../../values/element-array.ts';
import type { Feeds, TensorValue } from '../../values/tensor-value.ts';
import { emptyStatistics, mergeStatistics, observe, type TensorStatistics } from '../statistics.ts';
import type { ObserverOptions } from './activation-observer.ts';
import { type GramAccumulator, openGramAccumulator } from './gram-accumulator.ts';
import type { ObserverCommands } from './observer-commands.ts';

let opened:
  | { readonly session: InferenceSession | undefined; readonly options: ObserverOptions }
  | undefined;
let grams: GramAccumulator | undefined;
const statistics = new Map<string, TensorStatistics>();

serveCommands<ObserverCommands>({
  async open({ path, options }) {
    // When graph inputs are all that is watched, nothing is left to run: onnxruntime refuses that.
    const session =
      fetchedBy(options).length === 0
        ? undefined
        : await openSession({ model: path, options: options.session });
    opened = { session, options };
    if (options.grams !== undefined) grams = await openGramAccumulator(options.grams);
    return undefined;
  },
  async observe(feeds) {
    if (opened === undefined) throw new RunnerError('observer: no model is open.');
    const { session, options } = opened;
    for (const name of options.inputs) fold(name, feeds.get(name));
    const values: Feeds =
      session === undefined ? new Map() : await runSession(session, feeds, fetchedBy(options));
    for (const name of options.outputs) fold(name, values.get(name));
    for (const name of options.grams?.values ?? []) {
      await grams?.add(name, given(name, values.get(name) ?? feeds.get(name)));
    }
    return new Map(options.returned?.map((name) => [name, given(name, values.get(name))]));
  },
  writeGrams: async () => (await grams?.write()) ?? new Map(),
  memory: async () => process.memoryUsage.rss(),
  statistics: async () => statistics,
});

function fetchedBy({ outputs, returned = [] }: ObserverOptions): readonly string[] {
  return [...new Set([...outputs, ...returned])];
}

function fold(name: string, found: TensorValue | undefined): void {
  const value = given(name, found);
  const { channels = false } = opened?.options ?? {};
  const keepsChannels = typeof channels === 'boolean' ? channels : channels.includes(name);
  // A branch that was not taken gives [0] in place of its values: a sample without any.
  const width = keepsChannels && value.dims.at(-1) !== 0 ? value.dims.at(-1) : undefined;
  const before = statistics.get(name);
  const isFirst = before?.channels === undefined && width !== undefined;
  const sample = isFirst ? emptyStatistics(width) : (before ?? emptyStatistics());
  const seen = observe(sample, toFloat32(value));
  statistics.set(name, isFirst && before !== undefined ? mergeStatistics(before, seen) : seen);
}

function given(name: string, value: TensorValue | undefined): TensorValue {
  if (value === undefined) throw new RunnerError(`value ${name}: the model did not give it.`);
  return value;
}
