import { describe, expect, it } from 'vitest';
import { parseSearchFile, type SearchFile } from '../../src/quantize/search/search-file.ts';
import { renderSensitivity } from '../../src/report/sensitivity.ts';
import { renderSensitivityHtml } from '../../src/report/sensitivity-html.ts';

const figures = (klNats: number | null) => ({
  positions: 2048,
  klNats,
  agreement: 0.95,
  perplexityRatio: 1.0042,
  dropPoints: -0.1,
});

const point = (integerShare: number, klNats: number | null): SearchFile['curve'][number] => ({
  integerShare,
  weightOnlyShare: 1 - integerShare,
  groups: { planned: 1, weightOnly: 1, float: 0 },
  figures: figures(klNats),
});

const group = (
  name: string,
  excessKl: number | null,
  choice: SearchFile['groups'][number]['choice'],
): SearchFile['groups'][number] => ({
  name,
  layers: [name],
  roles: ['down'],
  weightCount: 884_736,
  klNats: excessKl,
  excessKl,
  choice,
});

const SEARCH: SearchFile = {
  schema: 'autoglm.search/1',
  recipe: 'w8a8-full',
  budget: { maxKl: 0.04 },
  data: { sha256: 'ab', windows: 8 },
  evaluations: 130,
  chosen: point(0.93, 0.039),
  groups: [
    group('<b>layers.1.down', null, 'weight-only'),
    group('layers.9.down', 0.0123, 'weight-only'),
    ...Array.from({ length: 20 }, (_, index) => group(`calm.${index}`, -1e-5, 'planned')),
  ],
  curve: [point(1, 0.056), point(0.93, 0.038), point(0, 0.004)],
};

const LOCATED: SearchFile = {
  ...SEARCH,
  groups: SEARCH.groups.map((own) =>
    own.name === 'layers.9.down'
      ? {
          ...own,
          range: { min: -1.5, max: 2371 },
          outliers: { largest: 2371, token: 0, channel: 212, otherTokens: 73, typical: 6.5 },
        }
      : own,
  ),
};

describe('renderSensitivity', () => {
  it('shows what was found, the ranking, and the curve', () => {
    const text = renderSensitivity(SEARCH);
    expect(text).toContain('Found        93.0 % W8A8, 7.0 % weight-only; KL 0.0390');
    expect(text).toMatch(/layers\.9\.down +884,736 +0\.0123 +0\.0123 +weight-only/);
    expect(text).toContain('not finite');
    expect(text).toContain('... and 10 less sensitive');
    expect(text).toMatch(/93\.0 % +7\.0 % +0\.0380 +95\.0 % +1\.0042x +-0\.10 pt/);
  });

  it('shows ranges and where the largest values sit, where somebody looked', () => {
    const text = renderSensitivity(LOCATED);
    expect(text).toMatch(
      /adds +range +largest \(token, channel\) +other tokens, typical +becomes\n/,
    );
    expect(text).toMatch(
      /layers\.9\.down .* -1\.50\.\.2371 +2371 \(0, 212\) +73\.0, 6\.50 +weight-only/,
    );
    expect(text).toMatch(/calm\.0 .* - +- +- +w8a8/);
    expect(renderSensitivity(SEARCH)).not.toContain('typical');
  });

  it('shows every group when asked', () => {
    expect(renderSensitivity(SEARCH, { all: true })).toContain('calm.19');
  });
});

describe('renderSensitivityHtml', () => {
  it('escapes names and draws a dot per point and the limit', () => {
    const html = renderSensitivityHtml(SEARCH);
    expect(html).toContain('&lt;b&gt;layers.1.down');
    expect(html).not.toContain('<b>');
    expect(html.match(/<circle/g)).toHaveLength(3);
    expect(html).toContain('stroke-dasharray');
  });

  it('has columns of outliers where somebody looked', () => {
    const html = renderSensitivityHtml(LOCATED);
    expect(html).toContain('<th>largest (token, channel)</th>');
    expect(html).toContain('<td>2371 (0, 212)</td><td>73.0, 6.50</td><td>weight-only</td>');
    expect(renderSensitivityHtml(SEARCH)).not.toContain('typical');
  });

  it('draws nothing where a single point is finite', () => {
    const curve = [point(1, null), point(0, 0.1)];
    expect(renderSensitivityHtml({ ...SEARCH, curve })).not.toContain('<svg');
  });
});

describe('parseSearchFile', () => {
  it('reads what was written', () => {
    expect(parseSearchFile(JSON.stringify(SEARCH), 'search.json')).toEqual(SEARCH);
    expect(parseSearchFile(JSON.stringify(LOCATED), 'search.json')).toEqual(LOCATED);
  });

  it('names file and key of what it refuses', () => {
    const text = JSON.stringify({ ...SEARCH, schema: 'autoglm.search/2' });
    expect(() => parseSearchFile(text, 'out/search.json')).toThrow(/out\/search\.json: .*schema/);
    expect(() => parseSearchFile('{', 'out/search.json')).toThrow(/not JSON/);
  });
});
