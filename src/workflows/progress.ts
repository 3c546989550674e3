/** One step forward in a long task. Rates, ETA and memory are the listener's business. */
export interface ProgressEvent {
  /** What is being done, in a few words: `calibrate`, `quantize weights`. */
  readonly task: string;
  readonly done: number;
  /** Undefined while the amount of work is not known. */
  readonly total: number | undefined;
  /** What is counted: `samples`, `bytes`, `pairs`. */
  readonly unit: string;
  /** Resident set of the process that works, when it is not this one. */
  readonly memoryBytes?: number;
}

/** Listener given to workflows; they never print. */
export interface Reporter {
  progress(event: ProgressEvent): void;
  /** Something a person should know although the work goes on. */
  warn(message: string): void;
  /** One line about what happens now (which input was taken, which device was chosen). */
  note(message: string): void;
}
