import { formatDivergence } from './search-figures.ts';

const WIDTH = 600;
const HEIGHT = 180;
const MARGIN = { left: 60, bottom: 30, top: 10 } as const;

/** What was measured at a share. */
export interface KlPoint {
  /** 0..1 */
  readonly share: number;
  /** Points that are not finite are not drawn. */
  readonly klNats: number | null;
}

/**
 * Returns an SVG of KL over a share of something, the limit of the KL as a dashed line, the axis from 0 to `end`; empty
 * for fewer than two points.
 */
export function drawKlCurve(
  curve: readonly KlPoint[],
  axis: { readonly of: string; readonly limit: number | undefined; readonly end: number },
): string {
  const points = curve.flatMap(({ share, klNats: kl }) => (kl === null ? [] : [{ share, kl }]));
  if (points.length < 2) return '';
  const { of, limit, end } = axis;
  const top = 1.05 * Math.max(...points.map(({ kl }) => kl), limit ?? 0, Number.MIN_VALUE);
  const x = (share: number): number => MARGIN.left + (share / end) * (WIDTH - MARGIN.left - 10);
  const y = (kl: number): number =>
    MARGIN.top + (1 - Math.max(kl, 0) / top) * (HEIGHT - MARGIN.top - MARGIN.bottom);
  const at = ({ share, kl }: { share: number; kl: number }): string =>
    `${x(share).toFixed(1)},${y(kl).toFixed(1)}`;
  const bottom = y(0).toFixed(1);
  const sorted = [...points].sort((a, b) => a.share - b.share || a.kl - b.kl);
  const dots = points
    .map((point) => `<circle cx="${at(point).replace(',', '" cy="')}" r="3" fill="#0969da"/>`)
    .join('');
  const limitLine =
    limit === undefined
      ? ''
      : `<line x1="${MARGIN.left}" y1="${y(limit).toFixed(1)}" x2="${WIDTH}" y2="${y(limit).toFixed(1)}" stroke="#cf222e" stroke-dasharray="4"/>`;
  const labels = [0, 0.25, 0.5, 0.75, 1]
    .map((part) => part * end)
    .map(
      (share) =>
        `<text x="${x(share).toFixed(1)}" y="${HEIGHT - 8}" text-anchor="middle">${Number((100 * share).toPrecision(4))} %</text>`,
    )
    .join('');
  return (
    `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" style="height:${HEIGHT}px" role="img" aria-label="KL over the share of ${of}">` +
    `<line x1="${MARGIN.left}" y1="${bottom}" x2="${WIDTH}" y2="${bottom}" stroke="currentColor" stroke-opacity=".3"/>` +
    `<text x="4" y="${(y(top / 1.05) + 4).toFixed(1)}">${formatDivergence(top / 1.05)}</text>` +
    `<text x="4" y="${bottom}">KL 0</text>${labels}${limitLine}` +
    `<polyline points="${sorted.map(at).join(' ')}" fill="none" stroke="#0969da"/>${dots}</svg>`
  );
}
