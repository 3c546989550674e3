/** The one list of scores. Another one is a file beside this and a line here. */
import { bnScale } from './bn-scale.ts';
import type { Importance } from './importance.ts';
import { obs } from './obs.ts';
import { wanda } from './wanda.ts';
import { groupL1, l1, l2 } from './weight-norms.ts';

/** Every way to tell which channels matter least. */
export const IMPORTANCES: readonly Importance[] = [l1, l2, groupL1, wanda, obs, bnScale];

/** Returns the score of a name. Throws RangeError for a name that no list of ours offers. */
export function importanceOf(name: string): Importance {
  const found = IMPORTANCES.find((importance) => importance.name === name);
  if (found === undefined) throw new RangeError(`no importance is called ${name}`);
  return found;
}
