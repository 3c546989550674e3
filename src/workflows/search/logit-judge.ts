import { join } from 'node:path';
import type { LogitSums } from '../../numerics/logit-reference.ts';
import { loadError, withModelName } from '../../runners/onnxruntime/onnxruntime-errors.ts';
import { startOnnxruntime } from '../../runners/onnxruntime/start-onnxruntime.ts';
import type { LoadOptions, SessionValue } from '../../runners/runner.ts';
import type { JudgeCommands, JudgedWindow } from './judge-commands.ts';

/**
 * A process that runs one model after another on the same windows and says how far each is from the
 * first. Logits stay in it and, those of the first, on disk: what is sent are feeds and sums.
 */
export interface LogitJudge {
  /** Opens a model in place of the one before and returns its outputs. */
  open(path: string, options: LoadOptions): Promise<readonly SessionValue[]>;
  /** Makes the open model's logits for a window the reference. `targets`: the right class per row. */
  keep(window: JudgedWindow, targets: Int32Array): Promise<void>;
  /** Compares the open model's logits for a window with those kept. */
  compare(window: JudgedWindow): Promise<LogitSums>;
  memoryBytes(): Promise<number>;
  close(): Promise<void>;
}

/** Starts a judge that keeps references in `folder`: 4 bytes per logit. */
export function startLogitJudge(folder: string): LogitJudge {
  const child = startOnnxruntime<JudgeCommands>(import.meta.url, 'judge-process');
  let opened = '';
  return {
    async open(path, options) {
      opened = path;
      try {
        return await child.call('open', { path, options });
      } catch (error) {
        throw loadError(path, options, error);
      }
    },
    keep: (window, targets) => {
      const file = join(folder, `reference-${window.index}.f32`);
      return withModelName(opened, () => child.call('keep', { ...window, targets, file }));
    },
    compare: (window) => withModelName(opened, () => child.call('compare', window)),
    memoryBytes: () => child.call('memory', undefined),
    close: () => child.stop(),
  };
}
