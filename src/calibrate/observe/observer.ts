import { loadError, withModelName } from '../../runners/onnxruntime/onnxruntime-errors.ts';
import { startOnnxruntime } from '../../runners/onnxruntime/start-onnxruntime.ts';
import type { OpenObserver } from './activation-observer.ts';
import type { ObserverCommands } from './observer-commands.ts';

/** Opens a model in onnxruntime for observing, in a child process of its own. */
export const openOnnxruntimeObserver: OpenObserver = async (path, options) => {
  const child = startOnnxruntime<ObserverCommands>(import.meta.url, 'observer-process');
  try {
    await child.call('open', { path, options });
  } catch (error) {
    await child.stop();
    throw loadError(path, options.session, error);
  }
  return {
    observe: (feeds) => withModelName(path, () => child.call('observe', feeds)),
    memoryBytes: () => child.call('memory', undefined),
    statistics: () => child.call('statistics', undefined),
    writeGrams: () => child.call('writeGrams', undefined),
    close: () => child.stop(),
  };
};
