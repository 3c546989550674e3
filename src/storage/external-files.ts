import { realpathSync, statSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import type { ExternalFiles } from '../formats/bytes.ts';
import { refuse } from '../formats/onnx/refuse.ts';
import { fileSource } from './file-source.ts';

const ADVICE = 'Put the data beside the model.';

/**
 * Returns the external data that the model at `modelPath` may use: regular files which, after all
 * symbolic links, lie inside the model's folder, or inside the folder in which the model file
 * itself really lies. The second place is for hub caches, where `snapshots/x/model.onnx` and its
 * data are both links into one `blobs` folder; a link to anywhere else is refused.
 */
export function externalFilesOf(modelPath: string): ExternalFiles {
  const folder = dirname(modelPath);
  const allowed = [realpathSync(folder), dirname(realpathSync(modelPath))];
  return {
    open(location, where) {
      const path = resolveFile(join(folder, location), location, where);
      if (!allowed.some((root) => path.startsWith(root.endsWith(sep) ? root : root + sep))) {
        refuse(
          where,
          `its data ${location} is a link out of the model's folder (got ${path})`,
          ADVICE,
        );
      }
      // A pipe or device would block or never end.
      if (!statSync(path).isFile()) {
        refuse(where, `its data ${location} is not a regular file`, ADVICE);
      }
      return fileSource(path);
    },
  };
}

function resolveFile(path: string, location: string, where: string): string {
  try {
    return realpathSync(path);
  } catch (error) {
    refuse(where, `its data ${location} is missing`, 'Put the file beside the model.', {
      cause: error,
    });
  }
}
