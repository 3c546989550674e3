/** A program that builds an artifact for the device of this machine, as trtexec does. */
export interface Compiler {
  readonly id: string;
  /** Kind of the artifacts that it compiles. */
  readonly compiles: string;
  /**
   * Compiles what lies in `folder`; `entry` is the file that it is given, relative to it. Reports what it does
   * through `note`. A program that is not here or fails is no error: it is said in `notVerified`.
   */
  compile(folder: string, entry: string, note: (text: string) => void): Promise<Compiled>;
}

/** What became of a compilation. */
export interface Compiled {
  /** Files that it left, relative to the folder. */
  readonly files: readonly string[];
  readonly verified: readonly {
    readonly runner: string;
    readonly device: string;
    readonly seen: string;
  }[];
  readonly notVerified: readonly string[];
}
