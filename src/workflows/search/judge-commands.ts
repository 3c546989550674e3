import type { LogitSums } from '../../numerics/logit-reference.ts';
import type { LoadOptions, SessionValue } from '../../runners/runner.ts';
import type { Feeds } from '../../values/tensor-value.ts';

/** One run whose logits are compared. */
export interface JudgedWindow {
  /** Number of the window; its reference is kept under it. */
  readonly index: number;
  readonly feeds: Feeds;
  /** Name of the output with the logits. */
  readonly output: string;
}

/** What a judge process answers. */
export type JudgeCommands = {
  /** Opens a model in place of the one before. */
  readonly open: {
    readonly input: { readonly path: string; readonly options: LoadOptions };
    readonly output: readonly SessionValue[];
  };
  /** Runs the open model and keeps its logits: the large part in `file`. */
  readonly keep: {
    readonly input: JudgedWindow & { readonly targets: Int32Array; readonly file: string };
    readonly output: undefined;
  };
  /** Runs the open model and compares its logits with those kept. */
  readonly compare: { readonly input: JudgedWindow; readonly output: LogitSums };
  readonly memory: { readonly input: undefined; readonly output: number };
};
