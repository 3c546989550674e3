import type { SampleList } from '../sample.ts';
import { chooseSamples } from './choose-samples.ts';

/** Samples of one kind of text: `english`, `python`. */
export interface Domain {
  readonly name: string;
  /** How many of its samples are chosen, as against other domains. */
  readonly weight: number;
  readonly list: SampleList;
}

/**
 * Returns the samples of all domains as one list, in the order of the domains. Each sample says its domain, and a choice
 * among them is one from every domain.
 */
export function joinDomains(domains: readonly Domain[]): SampleList {
  const count = domains.reduce((sum, { list }) => sum + list.count, 0);
  return {
    count,
    choose: (wanted, seed) => chooseAcross(domains, wanted, seed),
    async *read(indices) {
      let first = 0;
      for (const { name, list } of domains) {
        const end = first + list.count;
        const start = first;
        const own = indices.filter((index) => index >= start && index < end);
        for await (const sample of list.read(own.map((index) => index - start))) {
          yield { ...sample, domain: name };
        }
        first = end;
      }
    },
  };
}

function chooseAcross(
  domains: readonly Domain[],
  wanted: number | undefined,
  seed: number | undefined,
): readonly number[] {
  const shares = shareOut(domains, wanted);
  let first = 0;
  return domains.flatMap(({ list }, index) => {
    const start = first;
    first += list.count;
    return chooseSamples(list.count, shares[index]!, seed).map((own) => start + own);
  });
}

/**
 * Returns how many samples each domain gives: each in turn the one that is furthest behind its weight, the first of
 * equals, as long as it has any. So every domain gives one before any gives more than its weight asks for.
 */
export function shareOut(
  domains: readonly { readonly weight: number; readonly list: Pick<SampleList, 'count'> }[],
  wanted: number | undefined,
): readonly number[] {
  const counts = domains.map(({ list }) => list.count);
  const all = counts.reduce((sum, count) => sum + count, 0);
  if (wanted === undefined || wanted >= all) return counts;
  const shares = counts.map(() => 0);
  for (let given = 0; given < wanted; given++) {
    const open = counts.flatMap((count, index) => (shares[index]! < count ? [index] : []));
    // Weights may be so small that the quotient is infinite: then of equals the first.
    const behind = (index: number): number => shares[index]! / domains[index]!.weight;
    const next = open.reduce((least, index) => (behind(index) < behind(least) ? index : least));
    shares[next]! += 1;
  }
  return shares;
}
