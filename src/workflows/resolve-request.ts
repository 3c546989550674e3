import { resolve } from 'node:path';
import { UsageError } from '../errors.ts';
import { type ModelOnDisk, openModelOnDisk } from './model-identity.ts';
import type { DataChoice } from './open-data.ts';
import { loadPipelineConfig, type PipelineConfig } from './pipeline-config.ts';

/** Options that every verb which makes something shares, as a person typed them. */
export interface VerbOptions {
  readonly model?: string | undefined;
  readonly config?: string | undefined;
  readonly output?: string | undefined;
  readonly data?: string | undefined;
  readonly samples?: number | undefined;
  readonly sequenceLength?: number | undefined;
  readonly seed?: number | undefined;
  readonly force?: boolean | undefined;
  readonly dryRun?: boolean | undefined;
}

/** A verb with a model of its own, or one that works on a config's stages. */
export type ResolvedRequest =
  | { readonly kind: 'model'; readonly source: ModelOnDisk }
  | { readonly kind: 'config'; readonly config: PipelineConfig };

/** Returns the model that was named, or the config with the typed options in place of its own. */
export async function resolveRequest(options: VerbOptions): Promise<ResolvedRequest> {
  if (options.model !== undefined) {
    return { kind: 'model', source: await openModelOnDisk(options.model) };
  }
  const config = await loadPipelineConfig(options.config);
  const { samples, sequenceLength, seed } = options;
  return {
    kind: 'config',
    config: {
      ...config,
      ...(options.data !== undefined && { data: resolve(options.data) }),
      ...(options.output !== undefined && { output: resolve(options.output) }),
      calibrate: {
        ...config.calibrate,
        ...(samples !== undefined && { samples }),
        ...(sequenceLength !== undefined && { sequenceLength }),
        ...(seed !== undefined && { seed }),
      },
    },
  };
}

/** Returns the data set that was named. Throws UsageError saying what needs it. */
export function requireData({ data }: VerbOptions, what: string): string {
  if (data === undefined) {
    throw new UsageError(`${what}: no data. Give --data <folder>, a text, an .npz or images.`);
  }
  return data;
}

/** Returns the output folder that was named. */
export function requireOutput({ output }: VerbOptions, what: string): string {
  if (output === undefined) {
    throw new UsageError(`${what}: no output folder. Give -o <folder>.`);
  }
  return output;
}

/** Returns data, samples, length and seed of the options. */
export function dataChoice(options: VerbOptions, data: string): DataChoice {
  const { samples, sequenceLength, seed } = options;
  return { data, samples, sequenceLength, seed };
}
