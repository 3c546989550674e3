import * as z from 'zod';
import { parseRecord } from '../parse-record.ts';
import type { FusionAudit } from '../targets/onnx/audit-fusion.ts';
import type { Saturation } from '../targets/onnx/saturation.ts';
import { CHECK_SCHEMA, type CheckResult } from './check-result.ts';

const fraction = z.number().min(0).max(1);
const count = z.int().min(0);
const interval = z.strictObject({ low: z.number(), high: z.number() });

const model = z.strictObject({ file: z.string(), sha256: z.string(), label: z.string() });

const device = z.strictObject({
  id: z.string(),
  requested: z.string(),
  name: z.string(),
  reference: z.string(),
  notUsed: z.array(z.strictObject({ device: z.string(), reason: z.string() })),
});

const runtime = z.strictObject({
  autoglm: z.string(),
  node: z.string(),
  runner: z.string(),
  platform: z.string(),
  cpu: z.string(),
  instructionSets: z.array(z.string()),
  saturatesPairs: z.boolean().nullable(),
  threads: count.nullable(),
});

const data = z.strictObject({
  name: z.string(),
  sha256: z.string(),
  samples: count,
  representative: z.boolean(),
});

const top1 = z.strictObject({
  source: fraction,
  artifact: fraction,
  dropPoints: z.number(),
  dropPointsInterval: interval.nullable(),
});

/** Figures that checks of earlier versions did not have are null when such a file is read. */
const addedLater = <T extends z.ZodType>(type: T) => type.nullable().default(null as never);

const rowFigures = z.strictObject({ mean: z.number(), p1: z.number(), worst: z.number() });

const rows = z.strictObject({
  count,
  silent: count,
  cosine: rowFigures,
  sqnrDb: rowFigures,
});

const accuracy = z.strictObject({
  samples: count,
  outputs: z.array(
    z.strictObject({
      name: z.string(),
      elements: count,
      cosine: z.number().nullable(),
      worstSampleCosine: z.number().nullable(),
      sqnrDb: z.number().nullable(),
      rows: addedLater(rows),
      maxAbsError: z.number().nullable(),
      nonFiniteMismatches: count,
    }),
  ),
  languageModel: z
    .strictObject({
      output: z.string(),
      positions: count,
      predictedTokens: count,
      klNats: z.number().nullable(),
      klP999Nats: addedLater(z.number()),
      klWorstNats: addedLater(z.number()),
      agreement: fraction,
      perplexity: z
        .strictObject({
          source: z.number(),
          artifact: z.number(),
          ratio: z.number(),
          ratioInterval: interval.nullable(),
        })
        .nullable(),
      top1: top1.nullable(),
    })
    .nullable(),
  classification: z
    .strictObject({
      output: z.string(),
      rows: count,
      agreement: fraction,
      klNats: z.number().nullable(),
      klP999Nats: addedLater(z.number()),
      klWorstNats: addedLater(z.number()),
      top1: top1.nullable(),
    })
    .nullable(),
  domains: z
    .array(
      z.strictObject({
        domain: z.string(),
        samples: count,
        positions: count,
        klNats: z.number().nullable(),
        klP999Nats: z.number().nullable(),
        klWorstNats: z.number().nullable(),
        agreement: fraction,
        perplexityRatio: z.number().nullable(),
      }),
    )
    .default([]),
});

const ranges = z.strictObject({
  samples: count,
  activations: z.array(
    z.strictObject({ layer: z.string(), share: fraction, worstRatio: z.number().nullable() }),
  ),
  domains: z.array(
    z.strictObject({
      domain: z.string(),
      share: fraction,
      activationsBeyond: count,
      worstRatio: z.number().nullable(),
      worstLayer: z.string(),
    }),
  ),
});

const times = z.strictObject({
  runs: count,
  firstMilliseconds: z.number(),
  warmUpRuns: count,
  steady: z.boolean(),
  minMilliseconds: z.number(),
  meanMilliseconds: z.number(),
  p50Milliseconds: z.number(),
  p90Milliseconds: z.number(),
  p99Milliseconds: z.number(),
  maxMilliseconds: z.number(),
  coefficientOfVariation: z.number(),
});

const latency = z.strictObject({
  scenario: z.string(),
  baseline: z.string(),
  device: z.string(),
  pairs: count,
  baselineTimes: times,
  artifactTimes: times,
  speedup: z.number(),
  speedupInterval: interval,
  verdict: z.enum(['faster', 'slower', 'no measurable difference']),
  itemsPerRun: z.strictObject({ count, unit: z.string() }).nullable(),
});

const kernelSide = z.strictObject({
  milliseconds: z.number(),
  kinds: z.array(
    z.strictObject({
      kind: z.string(),
      callsPerRun: count,
      milliseconds: z.number(),
      share: fraction,
    }),
  ),
});

const kernelTimes = z.strictObject({
  scenario: z.string(),
  baselineLabel: z.string(),
  baseline: kernelSide,
  artifact: kernelSide,
});

const modelSize = z.strictObject({
  files: z.array(z.strictObject({ file: z.string(), byteLength: count })),
  byteLength: count,
  parameters: count,
  bitsPerWeight: z.number(),
  peakMemoryBytes: count.nullable(),
});

/** Schema of {@link FusionAudit}, in checks and manifests. */
export const FUSION_SCHEMA: z.ZodType<FusionAudit> = z.strictObject({
  planned: count,
  fused: count,
  kernels: z.record(z.string(), count),
  unfused: z.array(
    z.strictObject({
      layer: z.string(),
      node: z.string(),
      form: z.enum([
        'MatMulIntegerToFloat',
        'DynamicQuantizeMatMul',
        'QGemm',
        'MatMulNBits',
        'float',
      ]),
      ranAs: z.string().exactOptional(),
      reason: z.string(),
    }),
  ),
  takenBack: z
    .array(z.strictObject({ layer: z.string(), scheme: z.string(), reason: z.string() }))
    .default([]),
});

/** Schema of {@link Saturation}, in checks and manifests. */
export const SATURATION_SCHEMA: z.ZodType<Saturation> = z.strictObject({
  products: count,
  worstPair: count,
  pairs: count,
  unsafePairs: count,
  unsafeLayers: z.array(z.strictObject({ node: z.string(), worstPair: count, unsafePairs: count })),
  notScanned: z.array(z.strictObject({ node: z.string(), reason: z.string() })),
});

const gate = z.strictObject({
  gate: z.string(),
  limit: z.string(),
  measured: z.string(),
  value: z.number().nullable(),
  passed: z.boolean(),
  text: z.string(),
});

/** Schema of `check.json`. Unknown keys are refused, so that a typo never reads as "not measured". */
export const CHECK_RESULT_SCHEMA: z.ZodType<CheckResult> = z.strictObject({
  schema: z.literal(CHECK_SCHEMA),
  source: model,
  artifact: model,
  device,
  runtime,
  data: data.nullable(),
  accuracy: accuracy.nullable(),
  latency: z.array(latency),
  kernelTimes: addedLater(kernelTimes),
  sizes: z.strictObject({
    source: modelSize,
    artifact: modelSize,
    ratio: z.number(),
    peakMemoryRatio: z.number().nullable(),
  }),
  fusion: FUSION_SCHEMA.nullable(),
  saturation: addedLater(SATURATION_SCHEMA),
  ranges: addedLater(ranges),
  fallbackNodes: z.array(
    z.strictObject({ node: z.string(), opType: z.string(), device: z.string() }),
  ),
  gates: z.array(gate),
  notVerified: z.array(z.string()),
  warnings: z.array(z.string()),
  passed: z.boolean(),
});

/** Returns the JSON Schema (draft 2020-12) of `check.json`. */
export function checkResultJsonSchema(): Record<string, unknown> {
  return {
    title: 'autoglm check',
    ...z.toJSONSchema(CHECK_RESULT_SCHEMA, { io: 'output', target: 'draft-2020-12' }),
  };
}

/**
 * Returns the check that `check.json` text holds; `where` names the file in errors.
 * Throws FormatError when the text is not a check of this version.
 */
export function parseCheckResult(text: string, where: string): CheckResult {
  const what = `a check of this version, ${CHECK_SCHEMA}`;
  return parseRecord(text, CHECK_RESULT_SCHEMA, {
    where,
    what,
    cure: 'Run "autoglm check" again.',
  });
}
