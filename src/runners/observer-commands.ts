import type { GramFile, ObserverOptions } from '../calibrate/activation-observer.ts';
import type { TensorStatistics } from '../calibrate/statistics.ts';
import type { Feeds } from './runner.ts';

/** What an observer process answers. */
export type ObserverCommands = {
  readonly open: {
    readonly input: { readonly path: string; readonly options: ObserverOptions };
    readonly output: undefined;
  };
  readonly observe: { readonly input: Feeds; readonly output: Feeds };
  readonly writeGrams: {
    readonly input: undefined;
    readonly output: ReadonlyMap<string, GramFile>;
  };
  readonly memory: { readonly input: undefined; readonly output: number };
  readonly statistics: {
    readonly input: undefined;
    readonly output: ReadonlyMap<string, TensorStatistics>;
  };
};
