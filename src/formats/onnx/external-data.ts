import type { ByteSource, ExternalFiles } from '../bytes.ts';
import { LIMITS } from './limits.ts';
import type { EntryMessage } from './messages.ts';
import type { PayloadSlice } from './payload-source.ts';
import { refuse } from './refuse.ts';
import { refuseLfsPointer } from './refuse-lfs-pointer.ts';

/**
 * The external files of one model: each is opened once, and their names are remembered in order.
 */
export class ExternalData {
  readonly #files: ExternalFiles;
  readonly #open = new Map<string, ByteSource>();

  constructor(files: ExternalFiles) {
    this.#files = files;
  }

  /** Locations as the model spells them, in order of first use. */
  get locations(): readonly string[] {
    return [...this.#open.keys()];
  }

  /**
   * Returns the stretch that `external_data` entries name. `byteLength` is what the tensor's dims
   * ask for (undefined for types of unknown width, which take what the entries say). Throws
   * FormatError for a location outside the model's folder, and for a stretch outside the file. The
   * optional checksum is not verified: that would read every weight.
   */
  locate(
    entries: readonly EntryMessage[],
    byteLength: number | undefined,
    where: string,
  ): PayloadSlice {
    const values = new Map(entries.map(({ key, value }) => [key, value ?? '']));
    const location = values.get('location') ?? '';
    checkLocation(location, where);
    const offset = readInteger(values.get('offset') ?? '0', 'offset', where);
    const stated = values.get('length');
    const length = stated === undefined ? byteLength : readInteger(stated, 'length', where);
    if (length === undefined) refuse(where, 'its external data has no length');
    if (byteLength !== undefined && length !== byteLength) {
      refuse(
        where,
        `its external data has the wrong length (got ${length} bytes, expected ${byteLength})`,
      );
    }
    const file = this.#file(location, where);
    if (offset + length > file.byteLength) {
      refuse(
        where,
        `its data passes the end of ${location} (got ${length} bytes at ${offset}, expected at most ${file.byteLength} in all)`,
        'Fetch the file again; it looks cut off.',
        { byteOffset: offset },
      );
    }
    return { file, offset, byteLength: length };
  }

  #file(location: string, where: string): ByteSource {
    const known = this.#open.get(location);
    if (known !== undefined) return known;
    const file = this.#files.open(location, where);
    refuseLfsPointer(file, location, where);
    this.#open.set(location, file);
    return file;
  }
}

/**
 * Refuses locations that could leave the model's folder by their spelling alone: absolute (POSIX,
 * drive letter, UNC), with a `..` part under either separator, empty, with a NUL, or too long.
 */
function checkLocation(location: string, where: string): void {
  const parts = location.split(/[/\\]/);
  const leaves = parts[0] === '' || /^[A-Za-z]:/.test(location) || parts.includes('..');
  const isName =
    location !== '' && !location.includes('\0') && location.length <= LIMITS.locationLength;
  if (!isName || leaves) {
    refuse(
      where,
      `its external data must be a file beside the model (got ${JSON.stringify(location.slice(0, 200))})`,
      'Move the data beside the model and correct the location.',
    );
  }
}

function readInteger(text: string, key: string, where: string): number {
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) {
    refuse(
      where,
      `the ${key} of its external data is not a byte count (got ${JSON.stringify(text.slice(0, 40))})`,
    );
  }
  return value;
}
