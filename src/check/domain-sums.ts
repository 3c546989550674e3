import type { DomainAccuracy } from './check-result.ts';
import {
  type ClassificationSums,
  mergeClassification,
  NO_CLASSIFICATION,
  summarizeClassification,
} from './classification-sums.ts';
import {
  type LanguageModelSums,
  mergeLanguageModel,
  NO_LANGUAGE_MODEL,
  summarizeLanguageModel,
} from './language-model-sums.ts';

/** What was seen of the logits of some samples. */
export interface LogitSums {
  readonly samples: number;
  readonly languageModel: LanguageModelSums;
  readonly classification: ClassificationSums;
}

/** Nothing seen yet. */
export const NO_LOGITS: LogitSums = {
  samples: 0,
  languageModel: NO_LANGUAGE_MODEL,
  classification: NO_CLASSIFICATION,
};

/** Returns what was seen of all samples of both. */
export function mergeLogits(a: LogitSums, b: LogitSums): LogitSums {
  return {
    samples: a.samples + b.samples,
    languageModel: mergeLanguageModel(a.languageModel, b.languageModel),
    classification: mergeClassification(a.classification, b.classification),
  };
}

/** Returns the sums by domain with those of a sample that belongs to `domain` added; the same where it belongs to none. */
export function addToDomain(
  domains: ReadonlyMap<string, LogitSums>,
  domain: string | undefined,
  sums: LogitSums,
): ReadonlyMap<string, LogitSums> {
  if (domain === undefined) return domains;
  const before = domains.get(domain) ?? NO_LOGITS;
  return new Map([...domains, [domain, mergeLogits(before, sums)]]);
}

/** Returns the figures of each domain whose logits were compared, in the order of their first samples. */
export function summarizeDomains(
  output: string,
  domains: ReadonlyMap<string, LogitSums>,
): readonly DomainAccuracy[] {
  return [...domains].flatMap(([domain, { samples, languageModel, classification }]) => {
    const tokens = summarizeLanguageModel(output, languageModel);
    const figures = tokens ?? summarizeClassification(output, classification);
    if (figures === null) return [];
    const { agreement, klNats, klP999Nats, klWorstNats } = figures;
    const perplexityRatio = tokens?.perplexity?.ratio ?? null;
    const positions = tokens?.positions ?? samples;
    return [
      { domain, samples, positions, klNats, klP999Nats, klWorstNats, agreement, perplexityRatio },
    ];
  });
}
