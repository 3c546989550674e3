import { describe, expect, it } from 'vitest';
import { parseCheckResult } from '../../src/check/check-result-schema.ts';
import {
  addToDomain,
  type LogitSums,
  NO_LOGITS,
  summarizeDomains,
} from '../../src/check/domain-sums.ts';
import { evaluateGates } from '../../src/check/gates.ts';
import { observeLanguageModel } from '../../src/check/language-model-sums.ts';
import { SAMPLE_CHECK } from '../report/sample-check.ts';

/** One sample of two tokens over two words, whose first position has logits [0, `source`] and [0, `artifact`]. */
function seen(source: number, artifact: number): LogitSums {
  const pair = {
    source: Float32Array.of(0, source, 0, 0),
    artifact: Float32Array.of(0, artifact, 0, 0),
    dims: [1, 2, 2],
  };
  const tokens = { length: 2, ids: BigInt64Array.of(0n, 1n) };
  return { ...NO_LOGITS, samples: 1, languageModel: observeLanguageModel(pair, tokens) };
}

describe('figures by domain', () => {
  it('are those of the samples of that kind alone, in the order of their first', () => {
    let domains: ReadonlyMap<string, LogitSums> = new Map();
    domains = addToDomain(domains, 'english', seen(1, 1));
    domains = addToDomain(domains, 'python', seen(1, -1));
    domains = addToDomain(domains, 'english', seen(2, 2));
    domains = addToDomain(domains, undefined, seen(5, -5));
    const [english, python, ...others] = summarizeDomains('logits', domains);
    expect(others).toEqual([]);
    expect(english).toMatchObject({
      domain: 'english',
      samples: 2,
      positions: 4,
      klNats: 0,
      agreement: 1,
    });
    // sigmoid(1) against sigmoid(-1): KL = (2p - 1) * 1 = tanh(1/2) * 1 at one position of two.
    expect(python!.klNats).toBeCloseTo(Math.tanh(0.5) / 2, 6);
    expect(python).toMatchObject({ domain: 'python', samples: 1, positions: 2, agreement: 0.5 });
    // The next token is word 1: its likelihood falls from sigmoid(1) to sigmoid(-1), e to the one.
    expect(python!.perplexityRatio).toBeCloseTo(Math.E, 5);
  });

  it('are gated by the worst of them, and a data set without domains fails the gate', () => {
    const accuracy = SAMPLE_CHECK.accuracy!;
    const input = (domains: typeof accuracy.domains) => ({
      ...SAMPLE_CHECK,
      accuracy: { ...accuracy, domains },
    });
    const [python] = accuracy.domains;
    const both = [{ ...python!, domain: 'english', klNats: 0.001 }, python!];
    const [good] = evaluateGates({ maxWorstDomainKl: 0.02 }, input(both));
    expect(good).toMatchObject({ passed: true, value: 0.0112 });
    const [bad] = evaluateGates({ maxWorstDomainKl: 0.01 }, input(both));
    expect(bad!.text).toBe(
      'maxWorstDomainKl: the mean KL divergence in nats of the worst domain is 0.0112 (expected <= 0.01, python).',
    );
    const [none] = evaluateGates({ maxWorstDomainKl: 0.01 }, input([]));
    expect(none!.text).toContain('was not measured, the data set names no domains');
    const unbounded = [python!, { ...python!, domain: 'c', klNats: null }];
    const [infinite] = evaluateGates({ maxWorstDomainKl: 0.01 }, input(unbounded));
    expect(infinite!.text).toContain('that of c is not finite');
  });

  it('are empty in checks of before there were any', () => {
    const { domains: _, ...accuracy } = SAMPLE_CHECK.accuracy!;
    const old = JSON.stringify({ ...SAMPLE_CHECK, accuracy });
    expect(parseCheckResult(old, 'check.json').accuracy!.domains).toEqual([]);
  });
});
