/** Entry of the child process that runs a model and folds its activations into statistics. */
import type { InferenceSession } from 'onnxruntime-node';
import type { ObserverOptions } from '../calibrate/activation-observer.ts';
import { toFloat32 } from '../calibrate/element-array.ts';
import { emptyStatistics, observe, type TensorStatistics } from '../calibrate/statistics.ts';
import { RunnerError } from '../errors.ts';
import { serveCommands } from './child-commands.ts';
import type { ObserverCommands } from './observer-commands.ts';
import type { TensorValue } from './runner.ts';
import { openSession, runSession } from './session-host.ts';

let opened:
  | { readonly session: InferenceSession | undefined; readonly options: ObserverOptions }
  | undefined;
const statistics = new Map<string, TensorStatistics>();

serveCommands<ObserverCommands>({
  async open({ path, options }) {
    // When graph inputs are all that is watched, nothing is left to run: onnxruntime refuses that.
    const session =
      options.outputs.length === 0
        ? undefined
        : await openSession({ model: path, options: options.session });
    opened = { session, options };
    return undefined;
  },
  async observe(feeds) {
    if (opened === undefined) throw new RunnerError('observer: no model is open.');
    const { session, options } = opened;
    for (const name of options.inputs) fold(name, feeds.get(name));
    if (session === undefined) return undefined;
    const values = await runSession(session, feeds, options.outputs);
    for (const name of options.outputs) fold(name, values.get(name));
    return undefined;
  },
  memory: async () => process.memoryUsage.rss(),
  statistics: async () => statistics,
});

function fold(name: string, value: TensorValue | undefined): void {
  if (value === undefined) throw new RunnerError(`value ${name}: the model did not give it.`);
  const channelCount = opened?.options.channels === true ? value.dims.at(-1) : undefined;
  const before = statistics.get(name) ?? emptyStatistics(channelCount);
  statistics.set(name, observe(before, toFloat32(value)));
}
