import { realpath } from 'node:fs/promises';
import { resolve } from 'node:path';
import { type ModelOnDisk, openModelOnDisk } from '../../artifact/model-on-disk.ts';
import { UsageError } from '../../errors.ts';
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
  const config = await resolveConfig(options);
  const { samples, output } = options;
  return {
    kind: 'config',
    config: {
      ...config,
      ...(output !== undefined && { output: resolve(output) }),
      calibrate: { ...config.calibrate, ...(samples !== undefined && { samples }) },
    },
  };
}

/** Returns the config with data, sequence length and seed as typed, where they were. */
export async function resolveConfig(
  options: Pick<VerbOptions, 'config' | 'data' | 'sequenceLength' | 'seed'>,
): Promise<PipelineConfig> {
  const config = await loadPipelineConfig(options.config);
  const { data, sequenceLength, seed } = options;
  return {
    ...config,
    ...(data !== undefined && { data: resolve(data) }),
    calibrate: {
      ...config.calibrate,
      ...(sequenceLength !== undefined && { sequenceLength }),
      ...(seed !== undefined && { seed }),
    },
  };
}

/** Refuses an option that only a verb with a model of its own can honour. */
export function refuseWithConfig(option: string, value: unknown, { path }: PipelineConfig): void {
  if (value === undefined) return;
  throw new UsageError(
    `${option}: the calibrate stage of ${path} makes the calibration. Name a model to use this option.`,
  );
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

/** Returns the output folder of a new model. Throws UsageError when it is the source's own. */
export async function requireOwnOutput(
  options: VerbOptions,
  source: ModelOnDisk,
  what: string,
): Promise<string> {
  const output = requireOutput(options, what);
  const [target, taken] = await Promise.all(
    [output, source.folder].map((folder) => realpath(folder).catch(() => undefined)),
  );
  if (target !== undefined && target === taken) {
    throw new UsageError(
      `${output}: is the folder of the source model, which would be replaced. Give another folder with -o.`,
    );
  }
  return output;
}

/** Returns data, samples, length and seed of the options. */
export function dataChoice(options: VerbOptions, data: string): DataChoice {
  const { samples, sequenceLength, seed } = options;
  return { data, samples, sequenceLength, seed };
}
