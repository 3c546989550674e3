import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CheckResult } from '../check/check-result.ts';
import { parseCheckResult } from '../check/check-result-schema.ts';
import { UsageError } from '../errors.ts';
import { renderHtml, renderJson, renderJunit, renderMarkdown } from '../report/index.ts';
import { exists } from '../storage/replace-folder.ts';
import { writeFileAtomic } from '../storage/write-file-atomic.ts';
import type { ReportFormat } from './choices.ts';
import { loadPipelineConfig } from './project/pipeline-config.ts';
import { historyBeside } from './search/artifact-history.ts';
import { CHECK_FILES } from './stages/check-into.ts';

/** Returns the check of a folder (or of the config's output) and, when asked, writes it in one form. */
export async function report(options: {
  readonly folder?: string | undefined;
  readonly config?: string | undefined;
  readonly format?: ReportFormat | undefined;
  readonly output?: string | undefined;
  readonly force?: boolean | undefined;
}): Promise<{ readonly result: CheckResult; readonly rendered: string | undefined }> {
  const folder = options.folder ?? (await loadPipelineConfig(options.config)).output;
  const result = await readCheckIn(folder);
  const rendered =
    options.format === undefined ? undefined : await render(result, options.format, folder);
  if (options.output !== undefined) {
    if (rendered === undefined) {
      throw new UsageError(`report: no form for ${options.output}. Give --format.`);
    }
    if (options.force !== true && (await exists(options.output))) {
      throw new UsageError(`${options.output}: already exists. Use --force to replace it.`);
    }
    await writeFileAtomic(options.output, rendered);
  }
  return { result, rendered };
}

/** Where pruning and search lie: beside the check, or in the stages before it. */
function historyFolders(folder: string): readonly string[] {
  return [
    folder,
    ...['quantize', 'prune'].flatMap((stage) => [join(folder, stage), join(folder, '..', stage)]),
  ];
}

async function readCheckIn(folder: string): Promise<CheckResult> {
  const candidates = [
    join(folder, CHECK_FILES.json),
    join(folder, 'check', CHECK_FILES.json),
    folder,
  ];
  for (const path of candidates.filter((name) => name.endsWith('.json'))) {
    if (await exists(path)) return parseCheckResult(await readFile(path, 'utf8'), path);
  }
  throw new UsageError(`${folder}: holds no ${CHECK_FILES.json}. Run "autoglm check" first.`);
}

async function render(result: CheckResult, format: ReportFormat, folder: string): Promise<string> {
  switch (format) {
    case 'html':
      return renderHtml(result, await historyBeside(...historyFolders(folder)));
    case 'json':
      return renderJson(result);
    case 'junit':
      return renderJunit(result);
    case 'markdown':
      return renderMarkdown(result);
  }
}
