import { UsageError } from '../../errors.ts';
import type { DatasetOptions, SampleList, Split } from '../sample.ts';
import type { TextDescription, TextFile } from './dataset-schema.ts';
import { joinDomains } from './domains.ts';
import { findTokenizer } from './find-tokenizer.ts';
import { type Found, named } from './found-data.ts';
import { filesInside } from './inside-folder.ts';
import { openTextData, TEXT_BUDGET } from './text-data.ts';

/** What is text in a folder that `files` or `heldOut` name; a file that they name is taken as it is. */
const TEXT_EXTENSIONS = ['.txt', '.jsonl'] as const;

/** Text files of one domain; those that name none are together. */
interface DomainFiles {
  readonly name: string | undefined;
  readonly weight: number;
  readonly files: readonly string[];
}

async function domainFiles(
  folder: string,
  where: string,
  entries: readonly TextFile[],
): Promise<readonly DomainFiles[]> {
  const domains = new Map<string | undefined, { weight: number; names: string[] }>();
  for (const entry of entries) {
    const { path, domain, weight } =
      typeof entry === 'string' ? { path: entry, domain: undefined, weight: 1 } : entry;
    const known = domains.get(domain);
    if (known === undefined) {
      domains.set(domain, { weight, names: [path] });
      continue;
    }
    if (known.weight !== weight) {
      throw new UsageError(
        `${where}: ${path}: files of domain ${domain} have different weights (got ${weight} after ${known.weight}, ` +
          'expected one; 1 where none is written). Give all files of a domain the same weight.',
      );
    }
    known.names.push(path);
  }
  if (domains.has(undefined) && domains.size > 1) {
    const [bare] = domains.get(undefined)!.names;
    throw new UsageError(
      `${where}: ${bare} names no domain although others do (expected one for every file, or none). Write { path, domain }.`,
    );
  }
  return Promise.all(
    [...domains].map(async ([name, { weight, names }]) => ({
      name,
      weight,
      files: await filesInside(folder, where, names, TEXT_EXTENSIONS),
    })),
  );
}

/** Returns a text set as described. Errors are those of its files and of its tokenizer. */
export async function textSet(
  folder: string,
  where: string,
  description: TextDescription,
  options: DatasetOptions,
): Promise<Found> {
  const splits = {
    calibration: await domainFiles(folder, where, description.files),
    heldOut: await domainFiles(folder, where, description.heldOut),
  };
  const files = [...splits.calibration, ...splits.heldOut].flatMap((domain) => domain.files);
  const sequenceLength = options.sequenceLength ?? description.sequenceLength;
  const tokenizer = await findTokenizer(folder, where, description, options);
  const samples = options.samples ?? description.samples;
  const open = (split: Split, paths: readonly string[]): Promise<SampleList> =>
    openTextData(paths, {
      encoding: tokenizer.encoding,
      sequenceLength,
      ...(split === 'calibration' && { budget: textBudget(samples, sequenceLength) }),
    });
  return {
    kind: 'text',
    hasLabels: false,
    samples: description.samples,
    settings: { ...description, sequenceLength },
    files: [...files.map((file) => named(folder, file)), ...tokenizer.files],
    domains: splits.calibration.flatMap(({ name }) => name ?? []),
    list: async (split) => {
      const domains = splits[split];
      if (domains.every(({ name }) => name === undefined)) {
        return open(
          split,
          domains.flatMap((domain) => domain.files),
        );
      }
      return joinDomains(
        await Promise.all(
          domains.map(async ({ name = '', weight, files: paths }) => ({
            name,
            weight,
            list: await open(split, paths),
          })),
        ),
      );
    },
  };
}

/** A few samples need no more than a little text: 64 bytes a token leave a choice. */
function textBudget(samples: number | undefined, sequenceLength: number): number {
  if (samples === undefined) return TEXT_BUDGET;
  return Math.min(TEXT_BUDGET, Math.max(4 << 20, samples * sequenceLength * 64));
}
