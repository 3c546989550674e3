import { UnsupportedError, UsageError } from '../../errors.ts';
import type { Model } from '../../ir/model.ts';
import type { WeightKernel } from '../../numerics/weight-kernel.ts';
import type { Declined } from '../../passes/pass.ts';
import {
  isIntegerScheme,
  type Recipe,
  type SmoothingStrengths,
  smoothingStrengths,
} from '../../recipe/recipe.ts';
import { findEmbeddings } from '../../structure/find-embeddings.ts';
import { findLinears } from '../../structure/find-linears.ts';
import type { ActivationRange, ActivationRanges } from '../quantization-plan.ts';
import { type SelectedScheme, selectSchemes } from '../select-scheme.ts';
import {
  type ChannelExtremes,
  chooseScales,
  magnitudes,
  type SmoothingStrength,
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

/** Extremes of activations by channel, by value name of the calibrated model. */
export type ChannelTable = ReadonlyMap<string, ChannelExtremes>;

/**
 * Returns the smoothing that a recipe asks for, or undefined when it asks for none: a scale for every
 * channel of every foldable activation that a layer reads as INT8, or that INT8 weights meet as it is,
 * as long as there is one of the former. Two planes hold any channels, and smoothing would only spoil their weights. `model` is the one that was
 * calibrated; its weights are read once, for their magnitudes. Throws {@link UnsupportedError} when
 * nothing can be folded and the recipe asks for more than `auto`, {@link UsageError} when the calibration has no extremes by channel.
 */
export async function planSmoothing(
  model: Model,
  recipe: Recipe,
  table: ChannelTable,
  kernel: WeightKernel,
): Promise<PlannedSmoothing | undefined> {
  const found = wantedSites(model, recipe);
  if (found === undefined) return undefined;
  const { wanted, declined } = found;
  const sites: PlannedSite[] = [];
  for (const { site, strength } of wanted) {
    const { name, kind, into, layers } = site;
    const scales = encodeScales(await scalesOf(site, strength, table, kernel));
    sites.push({
      name,
      kind,
      into,
      ...strength,
      layers: layers.map((layer) => layer.name),
      scales,
    });
  }
  return { sites, declined };
}

/**
 * Throws {@link UnsupportedError} when a recipe demands smoothing and nothing in the model can be folded,
 * which the graph tells before any activation is known.
 */
export function requireSites(model: Model, recipe: Recipe): void {
  wantedSites(model, recipe);
}

interface WantedSites {
  readonly wanted: readonly {
    readonly site: SmoothingSite;
    readonly strength: SmoothingStrength;
  }[];
  readonly declined: readonly Omit<Declined, 'pass'>[];
}

/** The sites that a recipe smooths, undefined when it smooths none and does not have to. */
function wantedSites(model: Model, recipe: Recipe): WantedSites | undefined {
  const strengths = smoothingStrengths(recipe);
  const isAuto = recipe.smoothing === 'auto';
  if (strengths === undefined || (isAuto && !hasOutliers(model))) return undefined;
  const declined: Omit<Declined, 'pass'>[] = [];
  const found = findSmoothingSites(model, {
    decline: ({ node, reason }) => declined.push({ node, reason }),
  });
  const { byLayer } = selectSchemes(findLinears(model), recipe);
  const wanted = found.flatMap((site) => {
    const strength = strengthOf(site, byLayer, strengths);
    return strength === undefined ? [] : [{ site, strength }];
  });
  if (wanted.length === 0) {
    if (isAuto) return undefined;
    throw nothingToSmooth(recipe, declined);
  }
  return { wanted, declined };
}

function strengthOf(
  { kind, layers }: SmoothingSite,
  byLayer: ReadonlyMap<string, SelectedScheme>,
  { alpha, downAlpha, weightOnlyAlpha }: SmoothingStrengths,
): SmoothingStrength | undefined {
  const schemes = layers.map(({ name }) => byLayer.get(name)?.scheme ?? 'float');
  if (schemes.some((scheme) => isIntegerScheme(scheme) && scheme !== 'w8a8x2')) {
    return { purpose: 'activations', alpha: kind === 'up' ? downAlpha : alpha };
  }
  if (!schemes.every((scheme) => scheme === 'w8a16')) return undefined;
  return { purpose: 'weights', alpha: weightOnlyAlpha };
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
  strength: SmoothingStrength,
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
  return chooseScales(site, magnitudes(extremes), await weightMagnitudes(site, kernel), strength);
}

function nothingToSmooth(
  recipe: Recipe,
  declined: readonly Omit<Declined, 'pass'>[],
): UnsupportedError {
  const reasons = declined.slice(0, 3).map(({ node, reason }) => `${node}: ${reason}`);
  const got = reasons.length === 0 ? 'no norm, FFN or attention' : reasons.join('; ');
  return new UnsupportedError(
    `smoothing: recipe ${recipe.name} asks for it, and no activation of this model can be smoothed ` +
      `(got ${got}, expected one whose scales fold). Use "smoothing: auto", which smooths where it can.`,
  );
}

/** Returns the divisors of every smoothed activation, one a channel, by the value that layers read. */
export function smoothedInputs(
  model: Model,
  smoothing: PlannedSmoothing | undefined,
): ReadonlyMap<string, Float32Array> {
  const inputs = new Map<string, Float32Array>();
  if (smoothing === undefined) return inputs;
  const sites = new Map(findSmoothingSites(model).map((site) => [site.name, site]));
  for (const planned of smoothing.sites) {
    const site = sites.get(planned.name)!;
    const scales = inputScales(site, decodeScales(planned.scales));
    for (const { input } of site.layers) inputs.set(input, scales);
  }
  return inputs;
}

/**
 * Returns the ranges with those of smoothed activations put in their place: extremes by channel, each
 * divided by its scale as {@link smoothedInputs} has it, so they are what a run of the folded model
 * would have seen.
 */
export function smoothRanges(
  ranges: ActivationRanges,
  scalesOf: ReadonlyMap<string, Float32Array>,
  table: ChannelTable,
): ActivationRanges {
  const smoothed = new Map(ranges);
  for (const [input, scales] of scalesOf) {
    const extremes = table.get(input);
    if (extremes !== undefined) smoothed.set(input, dividedRange(extremes, scales));
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
