/** Whether held-out data stay within the ranges that an artifact was calibrated to. */
export interface RangeCheck {
  /** Samples that were looked at: a few of every kind. */
  readonly samples: number;
  /** Every calibrated activation, the one most often left first. */
  readonly activations: readonly RangeUse[];
  /** By kind of text, where the data set names kinds. */
  readonly domains: readonly DomainRange[];
}

/** How often the values of one calibrated activation leave its range. */
export interface RangeUse {
  /** The layer that reads it, the first of several. */
  readonly layer: string;
  /** Rows (tokens) that hold a value beyond the range, as a share of all; what is not finite is beyond. */
  readonly share: number;
  /** Largest magnitude over the end of the range that it passes; 1 or less when none does, null when it is not finite. */
  readonly worstRatio: number | null;
}

/** How often one kind of text leaves the ranges. */
export interface DomainRange {
  readonly domain: string;
  /** Rows of activations with a value beyond their range, as a share of the rows of all activations. */
  readonly share: number;
  /** Activations whose range any of its rows leaves. */
  readonly activationsBeyond: number;
  /** As of one activation. */
  readonly worstRatio: number | null;
  /** The layer whose range is left most often. */
  readonly worstLayer: string;
}

/** How far the rows of the activations of one sample reach: 1 is the end of the range. */
export interface SampleReach {
  readonly domain: string | undefined;
  /** By layer. */
  readonly reach: ReadonlyMap<string, Float32Array>;
}

/** A value that rounds to the last integer is not beyond: half a step of 255. */
const WITHIN = 1 + 0.5 / 127;

/** Above this share of rows of all activations, a kind of text is not what was calibrated. */
const FOREIGN_SHARE = 0.01;

/** Kinds of text that a warning names besides the worst; it counts the others. */
const NAMED = 7;

/** Returns how often the rows of all samples leave their ranges. */
export function summarizeReach(samples: readonly SampleReach[]): RangeCheck {
  const named = [...new Set(samples.flatMap(({ domain }) => domain ?? []))];
  return {
    samples: samples.length,
    activations: rangeUses(samples),
    domains: named.map((domain) => domainRange(domain, samples)),
  };
}

function domainRange(domain: string, samples: readonly SampleReach[]): DomainRange {
  const own = samples.filter((sample) => sample.domain === domain);
  const uses = rangeUses(own);
  const share = uses.reduce((sum, use) => sum + use.share, 0) / Math.max(uses.length, 1);
  const worstRatio = largest(uses.map((use) => use.worstRatio ?? Number.POSITIVE_INFINITY));
  const activationsBeyond = uses.filter((use) => use.share > 0).length;
  return { domain, share, activationsBeyond, worstRatio, worstLayer: uses[0]?.layer ?? '' };
}

function rangeUses(samples: readonly SampleReach[]): readonly RangeUse[] {
  const layers = new Set(samples.flatMap(({ reach }) => [...reach.keys()]));
  const uses = [...layers].map((layer): RangeUse => {
    const rows = samples.flatMap(({ reach }) => [...(reach.get(layer) ?? [])]);
    const beyond = rows.filter((row) => !(row <= WITHIN)).length;
    const share = rows.length === 0 ? 0 : beyond / rows.length;
    return { layer, share, worstRatio: largest(rows) };
  });
  const ratio = (use: RangeUse): number => use.worstRatio ?? Number.MAX_VALUE;
  return uses.sort((a, b) => b.share - a.share || ratio(b) - ratio(a));
}

/** The largest of some ratios, 0 of none; null when one is not finite. */
function largest(ratios: readonly number[]): number | null {
  const most = ratios.reduce((known, ratio) => Math.max(known, ratio), 0);
  return Number.isFinite(most) ? most : null;
}

/** Returns a sentence for the kinds of text that leave the calibrated ranges, undefined when none does. */
export function rangeWarning({ domains, activations }: RangeCheck): string | undefined {
  const foreign = domains
    .filter(({ share }) => share > FOREIGN_SHARE)
    .sort((a, b) => b.share - a.share);
  const [first, ...others] = foreign;
  if (first !== undefined) {
    const named = others.slice(0, NAMED);
    const rest = others.length - named.length;
    const most =
      `${first.domain} most (${percent(first.share)} of tokens and layers, in ${first.activationsBeyond} of ` +
      `${activations.length} inputs, ${reach(first)}; worst is ${first.worstLayer})`;
    const also = named.map(
      ({ domain, share, worstRatio }) => `${domain} (${percent(share)}, ${reach({ worstRatio })})`,
    );
    const more = rest === 0 ? [] : [`${rest} more`];
    return `data leave the calibrated ranges: ${[most, ...also, ...more].join(', ')}. Add such data to the calibration set.`;
  }
  if (domains.length > 0 || activations.length === 0) return undefined;
  const share = activations.reduce((sum, use) => sum + use.share, 0) / activations.length;
  const [worst] = activations;
  return share > FOREIGN_SHARE
    ? `data leave the calibrated ranges: ${percent(share)} of tokens and layers (${worst!.layer} most, ` +
        `${percent(worst!.share)} of its tokens, ${reach(worst!)}). Calibrate with such data.`
    : undefined;
}

function reach({ worstRatio }: Pick<RangeUse, 'worstRatio'>): string {
  return worstRatio === null ? 'not finite' : `up to ${worstRatio.toFixed(1)}x`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
