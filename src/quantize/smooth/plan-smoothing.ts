import { UnsupportedError, UsageError } from '../../errors.ts';
import type { Model } from '../../ir/model.ts';
import type { WeightKernel } from '../../numerics/weight-kernel.ts';
import { findLinears } from '../../passes/find-linears.ts';
import type { Declined } from '../../passes/pass.ts';
import type { Recipe } from '../../recipe/recipe.ts';
import { findEmbeddings } from '../find-embeddings.ts';
import type { ActivationRange, ActivationRanges } from '../quantization-plan.ts';
import { selectSchemes } from '../select-scheme.ts';
import {
  type ChannelExtremes,
  chooseScales,
  magnitudes,
  weightMagnitudes,
} from './choose-scales.ts';
import { findSmoothingSites } from './find-sites.ts';
import {
  decodeScales,
  encodeScales,
  type PlannedSite,
  type PlannedSmoothing,
} from './planned-smoothing.ts';
import { inputScales, type SmoothingSite } from './smoothing-site.ts';

/** Best of 0.5 to 0.9 on SmolLM2-135M, by KL on held-out text. */
const AUTO_ALPHA = 0.7;

/** Extremes of activations by channel, by value name of the calibrated model. */
export type ChannelTable = ReadonlyMap<string, ChannelExtremes>;

/**
 * Returns the smoothing that a recipe asks for, or undefined when it asks for none: a scale for every
 * channel of every foldable activation that some layer reads as INT8. `model` is the one that was
 * calibrated; its weights are read once, for their magnitudes. Throws {@link UnsupportedError} when
 * nothing can be folded, {@link UsageError} when the calibration has no extremes by channel.
 */
export async function planSmoothing(
  model: Model,
  recipe: Recipe,
  table: ChannelTable,
  kernel: WeightKernel,
): Promise<PlannedSmoothing | undefined> {
  const { smoothing } = recipe;
  if (smoothing === 'none' || (smoothing === 'auto' && !hasOutliers(model))) return undefined;
  const alpha = smoothing === 'auto' ? AUTO_ALPHA : smoothing.alpha;
  const declined: Omit<Declined, 'pass'>[] = [];
  const found = findSmoothingSites(model, {
    decline: ({ node, reason }) => declined.push({ node, reason }),
  });
  const { byLayer } = selectSchemes(findLinears(model), recipe);
  const isWanted = (site: SmoothingSite): boolean =>
    site.layers.some(({ name }) => byLayer.get(name)?.scheme.startsWith('w8a8'));
  const sites: PlannedSite[] = [];
  for (const site of found.filter(isWanted)) {
    const scales = await scalesOf(site, alpha, table, kernel);
    const { name, kind, into, layers } = site;
    sites.push({
      name,
      kind,
      into,
      layers: layers.map((layer) => layer.name),
      scales: encodeScales(scales),
    });
  }
  if (sites.length === 0 && smoothing === 'auto') return undefined;
  if (sites.length === 0) throw nothingToSmooth(recipe, declined);
  return { alpha, sites, declined };
}

/**
 * Says whether a model is of the kind whose activations have outlier channels: it reads tokens, or
 * has gated FFNs. Image encoders are better off without smoothing (KL 5.8e-5 against 7.2e-5 nats).
 */
function hasOutliers(model: Model): boolean {
  const layers = findLinears(model);
  const isGated = layers.some(({ role }) => role === 'gate' || role === 'gate-up');
  return isGated || findEmbeddings(model, layers).length > 0;
}

async function scalesOf(
  site: SmoothingSite,
  alpha: number,
  table: ChannelTable,
  kernel: WeightKernel,
): Promise<Float32Array> {
  const [first] = site.layers;
  const extremes = table.get(first!.input);
  if (extremes === undefined) {
    throw new UsageError(
      `smoothing: no extremes by channel of ${first!.input}, which ${first!.name} reads. ` +
        'This calibration was made without them: calibrate again.',
    );
  }
  return chooseScales(site, magnitudes(extremes), await weightMagnitudes(site, kernel), alpha);
}

function nothingToSmooth(
  recipe: Recipe,
  declined: readonly Omit<Declined, 'pass'>[],
): UnsupportedError {
  const reasons = declined.slice(0, 3).map(({ node, reason }) => `${node}: ${reason}`);
  const got = reasons.length === 0 ? 'no norm, FFN or attention' : reasons.join('; ');
  return new UnsupportedError(
    `smoothing: recipe ${recipe.name} matches no layer of this model (got ${got}, expected at least ` +
      'one activation whose scales fold). Use "smoothing: none", or see `autoglm inspect`.',
  );
}

/**
 * Returns the ranges with those of smoothed activations put in their place: extremes by channel,
 * each divided by its scale, so they are what a run of the folded model would have seen.
 */
export function smoothRanges(
  model: Model,
  ranges: ActivationRanges,
  smoothing: PlannedSmoothing | undefined,
  table: ChannelTable,
): ActivationRanges {
  if (smoothing === undefined) return ranges;
  const smoothed = new Map(ranges);
  const sites = new Map(findSmoothingSites(model).map((site) => [site.name, site]));
  for (const planned of smoothing.sites) {
    const site = sites.get(planned.name)!;
    const scales = inputScales(site, decodeScales(planned.scales));
    for (const { input } of site.layers) {
      const extremes = table.get(input);
      if (extremes !== undefined) smoothed.set(input, dividedRange(extremes, scales));
    }
  }
  return smoothed;
}

function dividedRange({ min, max }: ChannelExtremes, scales: Float32Array): ActivationRange {
  let low = Infinity;
  let high = -Infinity;
  scales.forEach((scale, channel) => {
    low = Math.min(low, min[channel]! / scale);
    high = Math.max(high, max[channel]! / scale);
  });
  return { min: low, max: high, calibrator: 'minmax' };
}
