import { type Command, InvalidArgumentError, Option } from 'commander';
import { renderPruning } from '../../report/pruning.ts';
import {
  GROUP_KINDS,
  IMPORTANCE_NAMES,
  type ImportanceName,
  RECOVERIES,
  VERIFICATIONS,
} from '../../workflows/choices.ts';
import {
  addDataOptions,
  addLimitOptions,
  addWriteOptions,
  type DataOptions,
  parseCount,
  type WriteOptions,
} from '../options.ts';
import { withTerminal } from '../with-terminal.ts';

interface PruneOptions extends WriteOptions, DataOptions {
  readonly amount?: number;
  readonly maxKl?: number;
  readonly maxDrop?: string;
  readonly maxPerplexityRatio?: number;
  readonly targets?: (typeof GROUP_KINDS)[number][];
  readonly importance?: ImportanceName;
  readonly recover?: (typeof RECOVERIES)[number];
  readonly align?: 'auto' | number;
  readonly exact?: true;
  readonly scope?: 'local' | 'global';
  readonly allocate?: 'uniform' | 'search';
  readonly layers?: string;
  readonly protectFirst?: number;
  readonly protectLast?: number;
  readonly verify?: (typeof VERIFICATIONS)[number];
  readonly latency: boolean;
}

/** Adds `autoglm prune`. */
export function registerPrune(program: Command): void {
  const command = program
    .command('prune')
    .argument('[model]', 'an .onnx file, or a folder with one')
    .description('Remove hidden channels and attention heads; shapes really shrink.')
    .option(
      '--amount <share>',
      'share of each layer that goes (default: 0.1, or the most that the limits allow)',
      parseShare,
    )
    .option('--targets <kinds>', `what may go (default: "${GROUP_KINDS.join(',')}")`, parseTargets)
    .addOption(
      new Option(
        '--importance <score>',
        'how channels are ranked (default: obs with data, l1 without)',
      ).choices(IMPORTANCE_NAMES),
    )
    .addOption(
      new Option(
        '--recover <how>',
        'how the rest makes up for what goes (default: ls with data)',
      ).choices(RECOVERIES),
    )
    .option('--align <width>', 'multiple that widths are rounded to (default: "auto")', parseAlign)
    .option('--exact', "keep torch's count instead of an aligned one")
    .addOption(
      new Option('--scope <scope>', 'rank in each layer, or among all').choices([
        'local',
        'global',
      ]),
    )
    .addOption(
      new Option(
        '--allocate <how>',
        'the same share of every layer, or more where less KL is measured',
      ).choices(['uniform', 'search']),
    )
    .option('--layers <range>', 'layers that may lose channels, such as 4-29')
    .option('--protect-first <count>', 'layers at the start that lose nothing', parseCount)
    .option('--protect-last <count>', 'layers at the end that lose nothing', parseCount)
    .addOption(
      new Option('--verify <how>', 'what is proven of the cut (default: full)').choices(
        VERIFICATIONS,
      ),
    )
    .option('--no-latency', 'do not time source and result')
    .addHelpText(
      'after',
      `
With --amount the limits are gates: exit code 3 when one does not hold.

Examples:
  $ autoglm prune --amount 0.1
  $ autoglm prune model.onnx --data calibration/mixed -o out --amount 0.2
  $ autoglm prune model.onnx --data calibration/mixed -o out --max-kl 0.02
  $ autoglm prune model.onnx -o out --importance l1 --exact --dry-run`,
    );
  addWriteOptions(addDataOptions(addLimitOptions(command))).action(
    async (model: string | undefined, options: PruneOptions) => {
      const { prune } = await import('../../workflows/prune.ts');
      const { enforceGates } = await import('../../workflows/check.ts');
      await withTerminal(options, async (terminal) => {
        const result = await prune({ model, ...options }, terminal);
        terminal.result(result, renderPruning(result));
        if (result.check !== null) enforceGates(result.check);
      });
    },
  );
}

function parseShare(text: string): number {
  const value = Number(text);
  if (!(value >= 0 && value <= 0.95) || text.trim() === '') {
    throw new InvalidArgumentError('Expected a share from 0 to 0.95, such as 0.1.');
  }
  return value;
}

function parseTargets(text: string): (typeof GROUP_KINDS)[number][] {
  return text.split(',').map((name) => {
    const kind = GROUP_KINDS.find((known) => known === name.trim());
    if (kind === undefined) {
      throw new InvalidArgumentError(`Expected some of ${GROUP_KINDS.join(', ')} (got ${name}).`);
    }
    return kind;
  });
}

function parseAlign(text: string): 'auto' | number {
  return text === 'auto' ? text : parseCount(text);
}
