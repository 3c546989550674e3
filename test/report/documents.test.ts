import { describe, expect, it } from 'vitest';
import { parseCheckResult } from '../../src/check/check-result-schema.ts';
import { renderHtml } from '../../src/report/html.ts';
import { renderJson } from '../../src/report/json.ts';
import { renderMarkdown } from '../../src/report/markdown.ts';
import { HOSTILE_CHECK, SAMPLE_CHECK } from './sample-check.ts';

describe('renderJson', () => {
  it('is read back as the same check', () => {
    expect(parseCheckResult(renderJson(SAMPLE_CHECK), 'check.json')).toEqual(SAMPLE_CHECK);
  });

  it('ends with one newline', () => {
    expect(renderJson(SAMPLE_CHECK)).toMatch(/[^\n]\n$/);
  });
});

describe('renderMarkdown', () => {
  it('keeps every row at four cells whatever names hold', () => {
    const lines = renderMarkdown(HOSTILE_CHECK).split('\n');
    const rows = lines.filter((line) => line.startsWith('|'));
    expect(rows.length).toBeGreaterThan(10);
    for (const row of rows) expect(row.match(/(?<!\\)\|/g)).toHaveLength(5);
  });

  it('says in its title whether the gates passed', () => {
    expect(renderMarkdown(SAMPLE_CHECK)).toMatch(
      /^### w8a8 against float16 source: \*\*failed\*\*/,
    );
    expect(renderMarkdown({ ...SAMPLE_CHECK, passed: true })).toMatch(/: passed\n/);
  });
});

describe('renderHtml', () => {
  it('needs nothing else: no script, link, image or address', () => {
    const html = renderHtml(SAMPLE_CHECK);
    expect(html).not.toMatch(/<script|<link|<img|src=|href=|https?:|url\(|@import/);
    expect(html).toContain('<td>Perplexity</td><td>5.2134</td><td>5.2210</td>');
  });

  it('shows hostile names as text', () => {
    const html = renderHtml(HOSTILE_CHECK);
    expect(html).not.toContain('<script');
    expect(html).toContain('&lt;script&gt;alert(1)');
  });

  it('draws the interval of each speedup around the mark of 1', () => {
    const html = renderHtml(SAMPLE_CHECK);
    // The line ends at 1.1 * 2.801 = 3.0811: 1 lies at 600 / 3.0811 = 194.7.
    expect(html).toContain('<line x1="194.7"');
  });
});
