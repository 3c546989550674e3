import { UsageError } from '../errors.ts';

/** Why the system refuses to write, in words. */
const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'that is not permitted',
  EDQUOT: 'the disk is full',
  EEXIST: 'a file is where a folder is wanted',
  EISDIR: 'a folder is where a file is wanted',
  ENAMETOOLONG: 'the name is too long',
  ENOENT: 'the system makes no folder there',
  ENOSPC: 'the disk is full',
  ENOTDIR: 'a file is where a folder is wanted',
  ENOTEMPTY: 'a folder is where a file is wanted',
  EPERM: 'that is not permitted',
  EROFS: 'its disk is read-only',
};

/**
 * Returns what `act` returns. An error by which the system refuses to write becomes a {@link UsageError}
 * that names `output`, a file or folder; any other error stays as it is.
 */
export async function writing<T>(output: string, act: () => T | Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    const reason = REASONS[(cause as NodeJS.ErrnoException).code ?? ''];
    if (reason === undefined) throw cause;
    throw new UsageError(
      `${finalName(output)}: cannot be written, because ${reason}. Make room for it, or choose another place.`,
      { cause },
    );
  }
}

/** The name that a person gave to what is written under a temporary one. */
function finalName(path: string): string {
  return path.replace(/\.([^/\\]+)\.autoglm-partial(?=$|[/\\])/, '$1');
}
