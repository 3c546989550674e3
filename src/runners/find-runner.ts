import { UnsupportedError } from '../errors.ts';
import { RUNNERS } from './index.ts';
import type { Runner } from './runner.ts';

/** Returns the runner that reads artifacts of a kind. Throws UnsupportedError when none does. */
export function findRunner(kind: string): Runner {
  const runner = RUNNERS.find(({ reads }) => reads.includes(kind));
  if (runner !== undefined) return runner;
  const kinds = [...new Set(RUNNERS.flatMap(({ reads }) => reads))].join(', ');
  throw new UnsupportedError(
    `check: no runtime that autoglm drives reads this artifact (got ${kind}, expected one of ${kinds}).`,
  );
}
