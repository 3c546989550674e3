/**
 * Random graphs cut at random against their masked originals in onnxruntime, 200 of them, or as many as
 * `AUTOGLM_RANDOM_GRAPHS` says from seed `AUTOGLM_RANDOM_FIRST` on. Acceptance: none is wrong.
 */
import { expect, it } from 'vitest';
import { UnsupportedError } from '../../src/errors.ts';
import { judgeRandomGraph } from '../prune/judge-random-graph.ts';
import { describeMachine } from './machine.ts';

const COUNT = Number(process.env['AUTOGLM_RANDOM_GRAPHS'] ?? 200);
const FIRST = Number(process.env['AUTOGLM_RANDOM_FIRST'] ?? 0);
const REASONS = 12;

it(`${COUNT} random graphs are cut right, or declined with the node in the way`, async () => {
  const counts = { exact: 0, rounded: 0, declined: 0, wrong: 0, groups: 0 };
  const reasons = new Map<string, number>();
  const wrong: string[] = [];
  for (let seed = FIRST; seed < FIRST + COUNT; seed++) {
    const judged = await judgeRandomGraph(seed).catch((error: unknown) => {
      if (error instanceof UnsupportedError) return undefined;
      wrong.push(`seed ${seed}: ${error instanceof Error ? error.message : String(error)}`);
      return null;
    });
    // Refused after all groups were found cuttable: said in words, but later than it should be.
    if (judged === undefined) counts.declined++;
    if (judged === undefined || judged === null) continue;
    const { found, cuts, difference, rounding, plainDifference, about } = judged;
    for (const { reason } of found.declined) reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    counts.groups += found.groups.length;
    const isWrong = !(difference <= rounding) || plainDifference !== 0;
    if (isWrong) wrong.push(`${about}: ${difference} (allowed ${rounding})`);
    else if (cuts.every(({ removed }) => removed.length === 0)) counts.declined++;
    else if (difference === 0) counts.exact++;
    else counts.rounded++;
  }
  counts.wrong = wrong.length;
  console.log(
    [
      '',
      describeMachine(),
      `random graphs ${FIRST} to ${FIRST + COUNT - 1}: ${counts.groups} groups`,
      row('exact', counts.exact),
      row(
        'rounded',
        counts.rounded,
        'last bits by another kernel, at most 1e-6 of the largest output',
      ),
      row('declined', counts.declined, 'nothing could go'),
      row('wrong', counts.wrong),
      ...wrong,
      'products left alone, by reason:',
      ...[...reasons]
        .sort(([, a], [, b]) => b - a)
        .slice(0, REASONS)
        .map(([reason, count]) => row(String(count), reason)),
    ].join('\n'),
  );
  expect(wrong).toEqual([]);
});

function row(name: string, value: number | string, note = ''): string {
  return `  ${name.padEnd(10)}${String(value).padStart(typeof value === 'number' ? 5 : 0)}  ${note}`.trimEnd();
}
