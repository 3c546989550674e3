import type { Feeds } from '../../values/tensor-value.ts';
import type { TensorStatistics } from '../statistics.ts';
import type { GramFile, ObserverOptions } from './activation-observer.ts';

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
