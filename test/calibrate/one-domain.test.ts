import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { oneDomainWarning } from '../../src/calibrate/calibrate-model.ts';
import { openDataset } from '../../src/calibrate/dataset.ts';
import { UsageError } from '../../src/errors.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';

async function textSet(yaml: string): Promise<string> {
  const folder = temporaryFolder();
  await mkdir(folder, { recursive: true });
  await writeFile(
    join(folder, 'dataset.yaml'),
    `kind: text\ntokenizer: bytes\nsequenceLength: 4\n${yaml}`,
  );
  for (const name of ['a', 'b', 'c']) await writeFile(join(folder, `${name}.txt`), name.repeat(40));
  return folder;
}

describe('domains of a data set', () => {
  it('are read from its files, and one alone is worth a warning', async () => {
    const one = await openDataset(
      await textSet('files: [{ path: a.txt, domain: english }, { path: b.txt, domain: english }]'),
    );
    expect(one.domains).toEqual(['english']);
    expect(oneDomainWarning(one)).toMatch(/^calibration data are of one domain \(english\): /);
    const two = await openDataset(
      await textSet('files: [{ path: a.txt, domain: en }, { path: b.txt, domain: zh }]'),
    );
    expect(two.domains).toEqual(['en', 'zh']);
    expect(oneDomainWarning(two)).toBeUndefined();
    const none = await openDataset(await textSet('files: [a.txt, b.txt]'));
    expect(none.domains).toEqual([]);
    expect(oneDomainWarning(none)).toBeUndefined();
  });

  it('are all covered however few samples are taken, and named by each', async () => {
    const folder = await textSet(
      'files: [{ path: a.txt, domain: en, weight: 2 }, { path: b.txt, domain: zh }, { path: c.txt, domain: py }]',
    );
    const dataset = await openDataset(folder, { samples: 4 });
    const domains: (string | undefined)[] = [];
    for await (const sample of dataset.samples('calibration')) domains.push(sample.domain);
    expect(domains).toEqual(['en', 'en', 'zh', 'py']);
  });

  it('must be named of every file or of none', async () => {
    const folder = await textSet('files: [a.txt, { path: b.txt, domain: zh }]');
    await expect(openDataset(folder)).rejects.toThrow(UsageError);
    await expect(openDataset(folder)).rejects.toThrow(/a\.txt names no domain although others do/);
    const misspelt = await textSet('files: [{ path: b.txt, domian: zh }]');
    await expect(openDataset(misspelt)).rejects.toThrow(UsageError);
    await expect(openDataset(misspelt)).rejects.toThrow(
      /unknown key "domian" in files\[0\] .*Did you mean "domain"\?/,
    );
  });

  it('have one weight each', async () => {
    const folder = await textSet(
      'files: [{ path: a.txt, domain: en, weight: 2 }, { path: b.txt, domain: en }]',
    );
    await expect(openDataset(folder)).rejects.toThrow(
      /b\.txt: files of domain en have different weights \(got 1 after 2, expected one/,
    );
  });
});
