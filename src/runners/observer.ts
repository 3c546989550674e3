import type { OpenObserver } from '../calibrate/activation-observer.ts';
import type { ObserverCommands } from './observer-commands.ts';
import { loadError, withModelName } from './onnxruntime-errors.ts';
import { startOnnxruntime } from './start-onnxruntime.ts';

/** Opens a model in onnxruntime for observing, in a child process of its own. */
export const openOnnxruntimeObserver: OpenObserver = async (path, options) => {
  const child = startOnnxruntime<ObserverCommands>('observer-process');
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
