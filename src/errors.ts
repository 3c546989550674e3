/**
 * Every failure a person can cause or cure is an {@link AutoglmError}. Its message reads
 * `where: what is wrong (got X, expected Y). What to do.` and its class fixes the exit code.
 * Anything else that is thrown is a defect of autoglm and ends with exit code 1.
 */

/** Exit codes of the command line, as documented in README. */
export const EXIT_CODE = {
  done: 0,
  internal: 1,
  usage: 2,
  gateFailed: 3,
  inputRefused: 4,
  unsupported: 5,
  unavailable: 6,
} as const;

/** One of the values of {@link EXIT_CODE}. */
export type ExitCode = (typeof EXIT_CODE)[keyof typeof EXIT_CODE];

/** Base of all errors that are reported as one sentence, without a stack. */
export class AutoglmError extends Error {
  readonly exitCode: ExitCode = EXIT_CODE.internal;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** Wrong options, arguments, configuration or recipe (exit 2). */
export class UsageError extends AutoglmError {
  override readonly exitCode: ExitCode = EXIT_CODE.usage;
}

/** The tool worked, the model did not pass a gate (exit 3). The artifact is kept. */
export class GateFailedError extends AutoglmError {
  override readonly exitCode: ExitCode = EXIT_CODE.gateFailed;
}

/** An input file is damaged, hostile or not what it claims to be (exit 4). */
export class FormatError extends AutoglmError {
  override readonly exitCode: ExitCode = EXIT_CODE.inputRefused;
  /** Byte position in the file, where one is known. */
  readonly byteOffset: number | undefined;

  constructor(message: string, options?: ErrorOptions & { readonly byteOffset?: number }) {
    super(message, options);
    this.byteOffset = options?.byteOffset;
  }
}

/** A valid model that the chosen target, recipe or pass cannot express (exit 5). */
export class UnsupportedError extends AutoglmError {
  override readonly exitCode: ExitCode = EXIT_CODE.unsupported;
}

/** A requested device or runtime is not on this machine (exit 6). */
export class UnavailableError extends AutoglmError {
  override readonly exitCode: ExitCode = EXIT_CODE.unavailable;
}

/** A runtime crashed, ran out of memory or refused to run a model that it had loaded (exit 1). */
export class RunnerError extends AutoglmError {}

/** A runtime refused to run a model on what it was fed (exit 1, unless who fed it says that the data do not fit). */
export class RunRefusedError extends RunnerError {
  /** What the runtime said, as one sentence without a period. */
  readonly reason: string;

  constructor(path: string, reason: string) {
    super(`${path}: onnxruntime could not run it (${reason}).`);
    this.reason = reason;
  }
}

/**
 * Returns the error of a sample that the float model of the user does not take (exit 2), naming both,
 * where the runtime refused it; any other error as it is.
 */
export function asMisfit(error: unknown, model: string, sample: number): unknown {
  if (!(error instanceof RunRefusedError)) return error;
  return new UsageError(
    `${model}: does not take sample ${sample} of the data set (${error.reason}). Make the data set fit the model.`,
    { cause: error },
  );
}
