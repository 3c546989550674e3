import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { StageOutcome } from '../../artifact/results.ts';
import { UsageError } from '../../errors.ts';
import { exists, writeThroughStaging } from '../../storage/replace-folder.ts';
import { VERSION } from '../../version.ts';
import type { Reporter } from '../progress.ts';
import { readIntactStage, type StageRecord, writeStageRecord } from './stage-record.ts';

/** A step of a pipeline that leaves its result in a folder of its own. */
export interface Stage {
  readonly name: string;
  /** Folder under the output: the stage's name, or the target's for an export. */
  readonly folder: string;
  /** Folders of the stages whose results it reads; they stand before it in a list. */
  readonly needs: readonly string[];
  /** Everything that decides the result, as JSON; the fingerprints of the needed stages are added. */
  inputs(): Promise<unknown>;
  /** Writes the result into `folder`, which lies beside its final place. */
  run(folder: string, reporter: Reporter): Promise<void>;
}

/** How to treat what is already there. */
export interface StageOptions {
  /** Redo every stage, replacing whatever its folder holds. */
  readonly force: boolean;
  /** Redo the stages of this name and those that need them. */
  readonly from?: string | undefined;
  readonly dryRun: boolean;
}

/**
 * Runs stages in order, skipping those whose result is there and still what these inputs gave, and what the
 * stages that they need gave. A
 * stage's folder changes with one rename when it is finished, so a killed run goes on at the stage
 * it was in. A folder that is not as autoglm left it is refused without `force`.
 */
export async function runStages(
  output: string,
  stages: readonly Stage[],
  options: StageOptions,
  reporter: Reporter,
): Promise<readonly StageOutcome[]> {
  const outcomes: StageOutcome[] = [];
  const fingerprints = new Map<string, string>();
  const redone = new Set<string>();
  for (const stage of stages) {
    const isNamed = options.force || stage.name === options.from;
    const mustRun = isNamed || stage.needs.some((need) => redone.has(need));
    const folder = join(output, stage.folder);
    const upstream = stage.needs.map((need) => fingerprints.get(need));
    const fingerprint = fingerprintOf(stage.name, upstream, await stage.inputs());
    fingerprints.set(stage.folder, fingerprint);
    const known = await readIntactStage(folder);
    if (!mustRun && known?.fingerprint === fingerprint) {
      reporter.note(`${stage.name}: up to date in ${folder}`);
      outcomes.push(describe(stage, folder, 'up to date', 0, known));
    } else {
      redone.add(stage.folder);
      outcomes.push(
        options.dryRun
          ? describe(stage, folder, 'would run', 0, undefined)
          : await runStage(stage, { folder, fingerprint, known, force: options.force }, reporter),
      );
    }
  }
  return outcomes;
}

interface Place {
  readonly folder: string;
  readonly fingerprint: string;
  readonly known: StageRecord | undefined;
  readonly force: boolean;
}

async function runStage(stage: Stage, place: Place, reporter: Reporter): Promise<StageOutcome> {
  const { folder, fingerprint, known, force } = place;
  if (!force && known === undefined && (await exists(folder))) {
    throw new UsageError(
      `${folder}: holds files that are not as autoglm left them. Move them away, or use --force to replace them.`,
    );
  }
  reporter.note(`${stage.name}: into ${folder}`);
  const startedAt = performance.now();
  const record = await writeThroughStaging(
    folder,
    { force: true, mode: 'replace' },
    async (partial) => {
      await stage.run(partial, reporter);
      return writeStageRecord(partial, fingerprint);
    },
  );
  return describe(stage, folder, 'done', (performance.now() - startedAt) / 1000, record);
}

function describe(
  { name }: Stage,
  folder: string,
  state: StageOutcome['state'],
  seconds: number,
  record: StageRecord | undefined,
): StageOutcome {
  return { name, folder, state, seconds, files: Object.keys(record?.files ?? {}) };
}

function fingerprintOf(name: string, upstream: readonly unknown[], inputs: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify([VERSION, name, upstream, inputs]))
    .digest('hex');
}
