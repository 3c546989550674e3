import type { KnownDataType } from '../ir/data-type.ts';
import type { Feeds } from '../values/tensor-value.ts';

/** Where a session may run, in the words of a runner; `auto` takes the best device that really works. */
export type Device = string;

/** How to open a session. */
export interface LoadOptions {
  /** One of the runner's own devices. */
  readonly device: Device;
  /** Intra-op threads; the runtime's default when absent. */
  readonly threads?: number;
  /** `disabled` keeps every op as written: for statistics that must not depend on fusions. */
  readonly optimization?: 'disabled' | 'basic' | 'extended' | 'all';
  /** Runtime-specific settings (onnxruntime session config entries). */
  readonly config?: Readonly<Record<string, string>>;
  /** Writes the graph as the runtime optimised it, for the fusion audit. */
  readonly optimizedModelPath?: string;
}

/** A loaded model. Runs happen in another process, so the caller can draw progress meanwhile. */
export interface Session {
  /** Names, element types and declared dims of inputs and outputs. */
  readonly inputs: readonly SessionValue[];
  readonly outputs: readonly SessionValue[];
  /** Runs once; `fetches` limits what comes back (all outputs when absent). */
  run(feeds: Feeds, fetches?: readonly string[]): Promise<Feeds>;
  /** Runs `count` times with the same feeds inside the process; milliseconds of each run. */
  time(feeds: Feeds, count: number): Promise<readonly number[]>;
  /** Peak resident set of the process in bytes, so far. */
  peakMemoryBytes(): Promise<number>;
  close(): Promise<void>;
}

/** An input or output as the runtime declares it. Symbolic dims are strings, `?` where nothing is known. */
export interface SessionValue {
  readonly name: string;
  readonly dataType: KnownDataType;
  readonly dims: readonly (number | string)[];
}

/** A runtime that runs artifacts of some kinds. */
export interface Runner {
  readonly id: string;
  /** Kinds of artifacts that it loads: `onnx`. */
  readonly reads: readonly string[];
  /** Its devices, best first: the order in which `auto` tries. */
  readonly devices: readonly Device[];
  /**
   * False for an evaluator that autoglm itself wrote: what it agrees with is not verified by anybody else.
   */
  readonly independent: boolean;
  /** Returns name and version for people, as `onnxruntime 1.30.0`; the name alone when it is not installed. */
  version(): Promise<string>;
  /** A reason a person can act on ("no WebGPU adapter: install a Vulkan driver"), or undefined when it works. */
  unavailable(device: Device): Promise<string | undefined>;
  /** Returns why `auto` passes over a device that works, where it does. */
  whyNotAuto?(device: Device): string | undefined;
  /** Opens what `path` (the entry of an artifact) holds. */
  load(path: string, options: LoadOptions): Promise<Session>;
}
