import type { Declined } from '../../passes/pass.ts';
import type { SmoothingPurpose } from './choose-scales.ts';
import type { SiteKind } from './smoothing-site.ts';

/** One activation that is divided channel by channel, and where the division goes. */
export interface PlannedSite {
  /** Name of the first layer that reads the activation. */
  readonly name: string;
  readonly kind: SiteKind;
  readonly purpose: SmoothingPurpose;
  /** How strongly the scales follow the activation: 0 not at all, 1 wholly. */
  readonly alpha: number;
  /** Name of the norm or layer that takes the division. */
  readonly into: string;
  /** Names of the layers whose weights take the product. */
  readonly layers: readonly string[];
  /** One scale per channel that is divided: little-endian float32 in base64. */
  readonly scales: string;
}

/** Smoothing as data: the scales of every site, and the places that were not taken. */
export interface PlannedSmoothing {
  readonly sites: readonly PlannedSite[];
  readonly declined: readonly Omit<Declined, 'pass'>[];
}

/** Returns float32 values as little-endian bytes in base64. */
export function encodeScales(scales: Float32Array): string {
  const view = new DataView(new ArrayBuffer(scales.length * 4));
  scales.forEach((scale, index) => {
    view.setFloat32(index * 4, scale, true);
  });
  return btoa(String.fromCharCode(...new Uint8Array(view.buffer)));
}

/** Returns the values that {@link encodeScales} has written. */
export function decodeScales(text: string): Float32Array {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const view = new DataView(bytes.buffer);
  return Float32Array.from({ length: bytes.length >> 2 }, (_, index) =>
    view.getFloat32(index * 4, true),
  );
}
