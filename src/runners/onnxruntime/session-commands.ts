import type { Feeds } from '../../values/tensor-value.ts';
import type { LoadOptions, SessionValue } from '../runner.ts';

/** How a child opens a model. */
export interface OpenInput {
  /** A path, or the bytes of a small model without external data. */
  readonly model: string | Uint8Array;
  readonly options: LoadOptions;
  /** Folder for a profile; {@link SessionCommands} `profile` reads it back. */
  readonly profileFolder?: string;
}

/** One profiled kernel call. */
export interface KernelTime {
  readonly node: string;
  readonly opType: string;
  readonly provider: string;
  readonly milliseconds: number;
}

/** Milliseconds of alternating runs of two sessions; entry i of both belongs to one pair. */
export interface InterleavedTimes {
  readonly a: readonly number[];
  readonly b: readonly number[];
}

/** What a session process answers. Sessions are numbered in the order of opening, from 0. */
export type SessionCommands = {
  readonly open: {
    readonly input: OpenInput;
    readonly output: {
      readonly session: number;
      readonly inputs: readonly SessionValue[];
      readonly outputs: readonly SessionValue[];
    };
  };
  readonly run: {
    readonly input: {
      readonly session: number;
      readonly feeds: Feeds;
      readonly fetches: readonly string[] | undefined;
    };
    readonly output: Feeds;
  };
  readonly time: {
    readonly input: { readonly session: number; readonly feeds: Feeds; readonly count: number };
    readonly output: readonly number[];
  };
  readonly timeInterleaved: {
    readonly input: {
      readonly a: { readonly session: number; readonly feeds: Feeds };
      readonly b: { readonly session: number; readonly feeds: Feeds };
      readonly pairs: number;
      readonly warmup: number;
    };
    readonly output: InterleavedTimes;
  };
  /** Ends profiling of a session; one entry per kernel call so far. */
  readonly profile: {
    readonly input: { readonly session: number; readonly folder: string };
    readonly output: readonly KernelTime[];
  };
  readonly memory: { readonly input: undefined; readonly output: number };
};
