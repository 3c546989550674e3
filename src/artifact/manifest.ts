import { readFile, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { z } from 'zod';
import { FUSION_SCHEMA, SATURATION_SCHEMA } from '../check/check-result-schema.ts';
import { FormatError } from '../errors.ts';
import { parseRecord } from '../parse-record.ts';
import { layerCountsSchema } from '../quantize/quantization-file.ts';
import { hashFile } from '../storage/hash-file.ts';
import { writeFileAtomic } from '../storage/write-file-atomic.ts';
import type { FusionAudit } from '../targets/onnx/audit-fusion.ts';
import type { Saturation } from '../targets/onnx/saturation.ts';
import { VERSION } from '../version.ts';
import type { ModelOnDisk } from './model-on-disk.ts';

/** Name of the file beside every artifact. */
export const MANIFEST_NAME = 'manifest.json';

const fileSchema = z.strictObject({
  file: z.string(),
  byteLength: z.int().nonnegative(),
  sha256: z.string(),
});

const PRUNING_SUMMARY_SCHEMA = z.strictObject({
  amount: z.number(),
  importance: z.string(),
  /** Groups that lost channels or heads, and those that could not. */
  groups: z.int(),
  declined: z.int(),
  /** Elements of all float constants. */
  parametersBefore: z.int(),
  parametersAfter: z.int(),
  /** What was proven of the cut: how the outputs compare with the masked original. */
  proof: z.string(),
});

/** What pruning removed, in figures. */
export type PruningSummary = z.infer<typeof PRUNING_SUMMARY_SCHEMA>;

/** Schema of `manifest.json`. */
const manifestSchema = z.strictObject({
  schema: z.literal('autoglm.manifest/1'),
  autoglm: z.string(),
  /** The target that it was written for; `onnxruntime` is what `onnx` was called until 0.1. */
  target: z.string().transform((id) => (id === 'onnxruntime' ? 'onnx' : id)),
  /** The model file to run, relative to this folder. */
  artifact: z.string(),
  /** The float model it was made from; the path is relative to this folder. */
  source: z.strictObject({ path: z.string(), sha256: z.string() }),
  /** The data set of calibration, and of a check; relative to this folder. */
  data: z.strictObject({ path: z.string(), sha256: z.string() }).optional(),
  /** What quantized it, and into what; absent where nothing did. */
  recipe: z.string().optional(),
  layers: layerCountsSchema.optional(),
  /** What pruning removed; absent where nothing was. */
  pruning: PRUNING_SUMMARY_SCHEMA.optional(),
  /** Linear layers left in float, and why. */
  excluded: z.array(z.strictObject({ layer: z.string(), reason: z.string() })),
  /** Other lines a reader of the artifact should know: lint findings, unmatched rules. */
  notes: z.array(z.string()),
  /** Which planned layers onnxruntime runs as integer kernels; absent where it did not look. */
  fusion: FUSION_SCHEMA.optional(),
  /** Whether the integer products give the same sums on every CPU; absent where the target has none. */
  saturation: SATURATION_SCHEMA.optional(),
  /** Which runtime has read and run the artifact, and what was seen. */
  verified: z.array(z.strictObject({ runner: z.string(), device: z.string(), seen: z.string() })),
  /** Runtimes it is meant for that were not there: "tensorrt: trtexec is not installed". */
  notVerified: z.array(z.string()),
  files: z.array(fileSchema),
});

/** What is known of an artifact: where it came from, what is in it, who has run it. */
export type Manifest = z.infer<typeof manifestSchema>;

/** A manifest before its files are hashed and its paths made relative. */
export type ManifestDraft = Pick<
  Manifest,
  'target' | 'artifact' | 'recipe' | 'layers' | 'pruning'
> & {
  readonly source: ModelOnDisk;
  readonly excluded: readonly Manifest['excluded'][number][];
  readonly notes: readonly string[];
  readonly verified: readonly Manifest['verified'][number][];
  readonly notVerified: readonly string[];
  readonly data?: { readonly path: string; readonly sha256: string } | undefined;
  readonly fusion?: FusionAudit | undefined;
  readonly saturation?: Saturation;
};

/**
 * Writes the manifest of an artifact into its folder, listing the named files with size and hash.
 * Holds no date and no absolute path, so equal artifacts have equal manifests.
 */
export async function writeManifest(
  folder: string,
  draft: ManifestDraft,
  names: readonly string[],
): Promise<Manifest> {
  const { source, data, excluded, notes, verified, notVerified, fusion, saturation, ...rest } =
    draft;
  const manifest: Manifest = {
    schema: 'autoglm.manifest/1',
    autoglm: VERSION,
    ...rest,
    excluded: [...excluded],
    notes: [...notes],
    verified: [...verified],
    notVerified: [...notVerified],
    ...(fusion !== undefined && { fusion }),
    ...(saturation !== undefined && { saturation }),
    source: { path: portable(folder, source.path), sha256: await source.sha256() },
    ...(data !== undefined && { data: { ...data, path: portable(folder, data.path) } }),
    files: await Promise.all(
      [...names].sort().map(async (file) => ({
        file,
        byteLength: (await stat(join(folder, file))).size,
        sha256: await hashFile(join(folder, file)),
      })),
    ),
  };
  await writeFileAtomic(join(folder, MANIFEST_NAME), `${JSON.stringify(manifest, undefined, 2)}\n`);
  return manifest;
}

/** Reads a manifest; its paths come back absolute. Throws FormatError for anything else. */
export async function readManifest(folder: string): Promise<Manifest> {
  const path = join(folder, MANIFEST_NAME);
  const text = await readFile(path, 'utf8').catch((cause) => {
    throw new FormatError(`${path}: cannot be read. Name the source with --against.`, { cause });
  });
  const manifest = parseRecord(text, manifestSchema, {
    where: path,
    what: 'a manifest of this version',
    cure: 'Make the artifact again.',
  });
  return {
    ...manifest,
    source: { ...manifest.source, path: resolve(folder, manifest.source.path) },
    ...(manifest.data && {
      data: { ...manifest.data, path: resolve(folder, manifest.data.path) },
    }),
  };
}

/** A path relative to the folder where there is one (not across Windows drives), with `/`. */
function portable(folder: string, path: string): string {
  const found = relative(resolve(folder), resolve(path));
  return (isAbsolute(found) ? path : found).split(sep).join('/');
}

/** Returns the folder of an artifact given as a folder or as a file in it. */
export async function artifactFolder(path: string): Promise<string> {
  return (await stat(path)).isDirectory() ? path : dirname(path);
}
