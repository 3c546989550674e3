import { UsageError } from '../../errors.ts';
import { TARGETS } from '../../targets/index.ts';
import type { Target, TargetWriter } from '../../targets/target.ts';

/** A target ready to write, with its settings. */
export interface ChosenTarget {
  readonly target: Target;
  readonly writer: TargetWriter;
  readonly options: Readonly<Record<string, unknown>>;
}

/** Returns the target of a name. Throws UsageError that names those there are. */
export function findTarget(id: string): Target {
  const found = TARGETS.find((target) => target.id === id);
  if (found !== undefined) return found;
  const ids = TARGETS.map((target) => target.id);
  throw new UsageError(
    `--target: there is no such target (got "${id}", expected one of ${ids.join(', ')}).`,
  );
}

/**
 * Returns a target with its settings parsed; those of other targets and unset ones are left out of `options` by
 * whoever calls. Throws UsageError for a target or setting that there is not, or a value that it refuses.
 */
export async function chooseTarget(
  id: string,
  options: Readonly<Record<string, unknown>>,
): Promise<ChosenTarget> {
  const target = findTarget(id);
  const parsed = target.options.safeParse(options);
  if (!parsed.success) {
    const issue = parsed.error.issues[0]!;
    const where = issue.path.length === 0 ? '' : ` ${issue.path.join('.')}:`;
    throw new UsageError(`target ${id}:${where} ${issue.message}. See "autoglm export --help".`);
  }
  return { target, writer: await target.load(), options: parsed.data };
}
