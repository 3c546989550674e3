import type { Importance } from './importance.ts';

/** |gamma| of the BatchNormalization behind each channel (network slimming, Liu et al. 2017). */
export const bnScale: Importance = {
  name: 'bn-scale',
  description: 'magnitude of the BatchNormalization scale of a channel',
  needs: 'weights',
  async score({ group, normScales }) {
    if (normScales.length === 0) return 'no BatchNormalization scales its channels';
    return Float64Array.from({ length: group.unitCount }, (_, unit) =>
      normScales.reduce((sum, scales) => sum + (scales[unit] ?? 0), 0),
    );
  },
};
