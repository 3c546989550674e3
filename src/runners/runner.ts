import type { KnownDataType } from '../ir/data-type.ts';
import type { Feeds } from '../values/tensor-value.ts';

/** Where a session may run; `auto` takes the best device that really works. */
export type Device = 'auto' | 'cpu' | 'webgpu' | 'cuda' | 'tensorrt';

/** How to open a session. */
export interface LoadOptions {
  readonly device: Exclude<Device, 'auto'>;
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

/** An input or output as the runtime declares it. Symbolic dims are strings. */
export interface SessionValue {
  readonly name: string;
  readonly dataType: KnownDataType;
  readonly dims: readonly (number | string)[];
}

/** A runtime that autoglm did not write. */
export interface Runner {
  readonly id: string;
  /** A reason a person can act on ("no WebGPU adapter: install a Vulkan driver"), or undefined when it works. */
  unavailable(device: Exclude<Device, 'auto'>): Promise<string | undefined>;
  load(modelPath: string, options: LoadOptions): Promise<Session>;
}
