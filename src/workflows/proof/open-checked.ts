import { type ModelOnDisk, openModelOnDisk } from '../../artifact/model-on-disk.ts';
import { findRunner } from '../../runners/find-runner.ts';
import { type Artifact, hashArtifact, openArtifact } from '../../storage/artifact.ts';
import type { ForeignArtifact } from './artifact-check.ts';

/** Returns what is checked at a path, a file or folder. Throws as `openArtifact` and `findRunner` do. */
export async function openChecked(path: string): Promise<ModelOnDisk | ForeignArtifact> {
  const artifact = await openArtifact(path);
  return artifact.kind === 'onnx' ? openModelOnDisk(path) : foreignArtifact(artifact);
}

/** Returns an artifact with the runner of its kind. Throws UnsupportedError when there is none. */
export function foreignArtifact(artifact: Artifact): ForeignArtifact {
  return {
    ...artifact,
    runner: findRunner(artifact.kind),
    sha256: () => hashArtifact(artifact),
  };
}
