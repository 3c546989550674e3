import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseDataset } from '../../src/calibrate/data/dataset-schema.ts';
import { root } from '../kit/paths.ts';

const folder = join(root, 'calibration/mixed');
/** A line this long does not come twice by chance. */
const LONG = 60;

const linesOf = (part: string, file: string): readonly string[] =>
  readFileSync(join(folder, part, file), 'utf8')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.length >= LONG);

describe('calibration/mixed', () => {
  const files = readdirSync(join(folder, 'calib')).sort();

  it('has every kind on both sides, in less than 1 MB, and says where each comes from.', () => {
    const path = join(folder, 'dataset.yaml');
    const { files: calibration, heldOut } = parseDataset(readFileSync(path, 'utf8'), path);
    const domains = (entries: typeof calibration) =>
      entries.map((entry) => (typeof entry === 'string' ? entry : entry.domain));
    expect(domains(heldOut)).toEqual(domains(calibration));
    expect(readdirSync(join(folder, 'heldout')).sort()).toEqual(files);
    expect(files).toEqual(
      domains(calibration)
        .map((name) => `${name}.txt`)
        .sort(),
    );
    const bytes = ['calib', 'heldout'].flatMap((part) =>
      files.map((file) => statSync(join(folder, part, file)).size),
    );
    expect(bytes.reduce((sum, size) => sum + size)).toBeLessThan(1e6);
    const origins = readFileSync(join(folder, 'README.md'), 'utf8');
    for (const name of domains(calibration)) expect(origins).toContain(`\n| ${name} |`);
  });

  it('holds out documents that calibration has nothing of.', () => {
    const calibrated = new Set(files.flatMap((file) => linesOf('calib', file)));
    expect(calibrated.size).toBeGreaterThan(200);
    const seen = files.flatMap((file) =>
      linesOf('heldout', file).filter((line) => calibrated.has(line)),
    );
    expect(seen).toEqual([]);
  });
});
