/** What the format needs from a disk. `src/storage` implements it over files. */

/** Random access to the bytes of one file. Reads fill the whole of `into` or fail. */
export interface ByteSource {
  /** The real path, under which another program finds the same bytes. */
  readonly path: string;
  readonly byteLength: number;
  read(into: Uint8Array, offset: number): Promise<void>;
  /** For structure, which is walked a few bytes at a time. */
  readSync(into: Uint8Array, offset: number): void;
}

/** The files that a model may refer to as external data. */
export interface ExternalFiles {
  /**
   * Returns the file at a location relative to the model. Throws a FormatError that begins with
   * `where` when there is no such file or it lies outside the model's folder.
   */
  open(location: string, where: string): ByteSource;
}

/** A file that is being written front to back. */
export interface OutputFile {
  append(bytes: Uint8Array): Promise<void>;
}

/** A folder that collects the files of one output; they appear together or not at all. */
export interface OutputFolder {
  create(name: string): Promise<OutputFile>;
  /** Makes `name` a hard link to the file at `path`; false where the file system cannot. */
  link(path: string, name: string): Promise<boolean>;
}
