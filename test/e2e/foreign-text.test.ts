import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { root } from '../kit/paths.ts';
import { spawnAutoglm } from '../kit/spawn-autoglm.ts';
import { sharedFolder } from '../kit/temporary-folder.ts';

const folder = sharedFolder();
const model = join(root, 'fixtures/glm-nano/optimum');
const data = (name: string): readonly string[] => ['--data', join(root, 'calibration', name)];
const artifact = (name: string): string => join(folder, name);
const check = (name: string, ...more: readonly string[]) =>
  spawnAutoglm([
    ...['check', artifact(name), ...data('mixed'), '--samples', '45', '--no-latency', '--json'],
    ...more,
  ]);

/** Both recipes calibrate on 10 windows; what differs is what they are of. */
async function quantize(name: string): Promise<{ readonly warnings: readonly string[] }> {
  const args = [
    'quantize',
    model,
    ...data(name),
    '--samples',
    '10',
    '-o',
    artifact(name),
    '--json',
  ];
  const { code, stdout, stderr } = await spawnAutoglm(args);
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout);
}

/** Shares of the rows of all activations beyond their ranges, by domain. */
function sharesOf({
  ranges,
}: {
  readonly ranges: {
    readonly domains: readonly { readonly domain: string; readonly share: number }[];
  };
}): (name: string) => number {
  return (name) => ranges.domains.find(({ domain }) => domain === name)!.share;
}

describe('text that calibration has seen nothing of', () => {
  let warnings: readonly string[];
  /** Share of Chinese beyond the ranges of English. */
  let foreign = Number.NaN;
  beforeAll(async () => {
    ({ warnings } = await quantize('english'));
    await quantize('mixed');
  });

  it('is foretold by quantize, which names the only kind that it calibrated on', () => {
    const sentence = 'calibration data are of one domain (english)';
    expect(warnings.join()).toContain(sentence);
    const manifest = JSON.parse(readFileSync(join(artifact('english'), 'manifest.json'), 'utf8'));
    expect(manifest.notes.join()).toContain(sentence);
  });

  it('fails the gate with exit code 3, and check says in which layers how many tokens leave the ranges', async () => {
    const junit = join(folder, 'junit.xml');
    const gate = ['--gate', 'maxWorstDomainKl=0.006', '--junit', junit];
    const { code, stdout } = await check('english', ...gate);
    expect(code).toBe(3);
    const { accuracy, gates, ranges, warnings: told } = JSON.parse(stdout);
    const worst = accuracy.domains.reduce((most: { klNats: number }, own: { klNats: number }) =>
      own.klNats > most.klNats ? own : most,
    );
    expect(worst.domain).not.toBe('english');
    expect(gates[0]).toMatchObject({ gate: 'maxWorstDomainKl', value: worst.klNats });
    expect(gates[0].text).toContain(worst.domain);
    expect(readFileSync(junit, 'utf8')).toMatch(/<failure[^>]*maxWorstDomainKl/);
    const shareOf = sharesOf({ ranges });
    foreign = shareOf('chinese');
    // Mostly bytes that no English text has.
    expect(foreign).toBeGreaterThan(5 * shareOf('english'));
    const [layer] = ranges.activations;
    expect(layer.share).toBeGreaterThan(0.01);
    expect(layer.worstRatio).toBeGreaterThan(1);
    expect(told.join()).toMatch(/chinese (most )?\(\d+\.\d %/);
    expect(told.join()).toMatch(
      /leave the calibrated ranges: \w+ most \(\d+\.\d % of tokens and layers, in \d+ of 18 inputs, .* worst is \/model\/layers\.0\//,
    );
  });

  it('is not foreign to an artifact that was calibrated on text of its kind', async () => {
    const { code, stdout } = await check('mixed', '--gate', 'maxWorstDomainKl=0.006');
    expect(code).toBe(0);
    const shareOf = sharesOf(JSON.parse(stdout));
    expect(shareOf('chinese')).toBeLessThan(foreign / 3);
  });
});
