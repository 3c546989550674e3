import { z } from 'zod';
import { FormatError } from '../errors.ts';
import { parseRecord } from '../parse-record.ts';

import { GROUP_KINDS, type PruneGroups } from './group.ts';
import type { Cut } from './kept-axes.ts';
import { ranges } from './pick-along-axes.ts';
import type { PruningPlan } from './pruning-plan.ts';

/** Name of the file that says which channels and heads went. */
export const PRUNING_NAME = 'pruning.json';

const PRUNING_SCHEMA = z.strictObject({
  schema: z.literal('autoglm.pruning/1'),
  amount: z.number(),
  importance: z.string(),
  groups: z.array(
    z.strictObject({
      name: z.string(),
      kind: z.enum(GROUP_KINDS),
      units: z.int(),
      /** Equal stretches that lose equally many: query heads of a key head. */
      blocks: z.int(),
      /** What torch's count asks for. */
      asked: z.int(),
      /** Units that went, counted from 0, as `0-3,7`. */
      removed: z.string(),
      importance: z.string(),
      reason: z.string().optional(),
    }),
  ),
  declined: z.array(z.strictObject({ name: z.string(), node: z.string(), reason: z.string() })),
  /** How the share was found, where there was a limit and no share. */
  search: z
    .strictObject({
      budget: z.string(),
      windows: z.int(),
      curve: z.array(
        z.strictObject({
          amount: z.number(),
          counts: z.string(),
          figures: z.strictObject({
            positions: z.int(),
            klNats: z.number().nullable(),
            agreement: z.number(),
            perplexityRatio: z.number().nullable(),
            dropPoints: z.number().nullable(),
          }),
        }),
      ),
    })
    .optional(),
});

/** What `pruning.json` holds. */
export type PruningFile = z.infer<typeof PRUNING_SCHEMA>;

/** Returns the file of a plan: equal plans give equal bytes. */
export function serializePruning(plan: PruningPlan): string {
  const file: PruningFile = {
    schema: 'autoglm.pruning/1',
    amount: plan.amount,
    importance: plan.importance,
    groups: plan.groups.map(({ unitCount, blockCount, removed, ...group }) => ({
      name: group.name,
      kind: group.kind,
      units: unitCount,
      blocks: blockCount,
      asked: group.asked,
      removed: ranges(removed),
      importance: group.importance,
      ...(group.reason !== undefined && { reason: group.reason }),
    })),
    declined: [...plan.declined],
    ...(plan.search !== undefined && {
      search: { ...plan.search, curve: [...plan.search.curve] },
    }),
  };
  return `${JSON.stringify(file, undefined, 2)}\n`;
}

/** Returns the plan in a file's text. Throws FormatError naming `path`. */
export function parsePruning(text: string, path: string): PruningPlan {
  const what = 'a pruning plan of this version';
  const kind = { where: path, what, cure: 'Prune again.' };
  const { groups, ...plan } = parseRecord(text, PRUNING_SCHEMA, kind);
  return {
    amount: plan.amount,
    importance: plan.importance,
    declined: plan.declined,
    ...(plan.search !== undefined && { search: plan.search }),
    groups: groups.map(({ units, blocks, removed, ...group }) => ({
      name: group.name,
      kind: group.kind,
      asked: group.asked,
      importance: group.importance,
      unitCount: units,
      blockCount: blocks,
      removed: placesOf(removed),
      ...(group.reason !== undefined && { reason: group.reason }),
    })),
  };
}

function placesOf(text: string): readonly number[] {
  return text
    .split(',')
    .filter((part) => part !== '')
    .flatMap((part) => {
      const [first = 0, last = first] = part.split('-').map(Number);
      return Array.from({ length: last - first + 1 }, (_, index) => first + index);
    });
}

/** Returns the cuts of a plan in the groups of a model. Throws FormatError when a group is not there. */
export function cutsOf({ groups }: PruneGroups, plan: PruningPlan): readonly Cut[] {
  return plan.groups
    .filter(({ removed }) => removed.length > 0)
    .map(({ name, removed, unitCount }) => {
      const group = groups.find((candidate) => candidate.name === name);
      if (group === undefined || group.unitCount !== unitCount) {
        throw new FormatError(`${name}: the model has no such group of ${unitCount}. Prune again.`);
      }
      return { group, removed };
    });
}
