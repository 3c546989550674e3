import { readFile } from 'node:fs/promises';
import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import { collectGrams } from '../../calibrate/collect-grams.ts';
import { feedHints } from '../../calibrate/feed-hints.ts';
import type { GramFile } from '../../calibrate/observe/activation-observer.ts';
import { openOnnxruntimeObserver } from '../../calibrate/observe/observer.ts';
import type { Model } from '../../ir/model.ts';
import type { MatrixProduct } from '../../numerics/matrix.ts';
import { convertToFloat32 } from '../../passes/convert-to-float32.ts';
import { gatherBeforeCast } from '../../passes/gather-before-cast.ts';
import { viewGraph } from '../../passes/graph-view.ts';
import { runPasses } from '../../passes/pass.ts';
import { columnsOf } from '../../prune/consumer-columns.ts';
import type { Consumer } from '../../prune/follow-units.ts';
import type { PruneGroup } from '../../prune/group.ts';
import type { ChannelMoments } from '../../prune/importance/importance.ts';
import type { HalvedMoments } from '../../prune/recover/recover-weights.ts';
import { tapChannels } from '../../prune/tap-channels.ts';
import { openMatrixProduct } from '../../runners/onnxruntime/matrix-product.ts';
import { makeTemporaryFolder, removeTemporaryFolder } from '../../storage/temporary-folder.ts';
import { elementsFromBytes } from '../../values/element-array.ts';
import type { Reporter } from '../progress.ts';
import { type DataChoice, openData } from '../project/open-data.ts';
import { warnOfCopies } from '../proof/warn-of-copies.ts';

/** Second moments of more channels than this are not kept: 8192 x 8192 float32 are 256 MiB. */
const MAX_WIDTH = 8192;

/** What calibration saw of the channels that products sum over, on disk. */
export interface CollectedChannels {
  /** Sums of squares of the activations as they are: what `wanda` weighs by. */
  squares(consumer: Consumer): Promise<ChannelMoments | undefined>;
  /** Second moments of the columns of products, all samples together: what `obs` inverts. */
  moments(consumer: Consumer): Promise<ChannelMoments | undefined>;
  /** The same in two halves: what least squares fits and is judged by. */
  halves(consumer: Consumer): Promise<HalvedMoments | undefined>;
  readonly data: { readonly path: string; readonly sha256: string };
  /** Calibration samples that were run. */
  readonly samples: number;
  /** Multiplies what is made of them. */
  readonly multiply: MatrixProduct;
  /** Removes them. */
  close(): Promise<void>;
}

/** What to look at, with which data. */
export interface ChannelRequest {
  readonly source: ModelOnDisk;
  readonly groups: readonly PruneGroup[];
  readonly choice: DataChoice;
  /** Sums of squares alone are quick; all second moments take one more pass. */
  readonly needs: { readonly squares: boolean; readonly moments: boolean };
}

/**
 * Runs the calibration samples through the float32 twin and adds up moments of what each product of the groups
 * sums over. Errors are those of the data set and the runner.
 */
export async function collectChannels(
  request: ChannelRequest,
  reporter: Reporter,
): Promise<CollectedChannels> {
  const { source, groups, choice, needs } = request;
  const dataset = await openData(choice, source);
  const samples = await dataset.count('calibration');
  const twin = runPasses(source.model, [convertToFloat32, gatherBeforeCast]);
  const consumers = groups.flatMap((group) => group.consumers);
  const folder = await makeTemporaryFolder('autoglm-channels-');
  const product = await openMatrixProduct();
  const close = async () => {
    await product.close();
    await removeTemporaryFolder(folder);
  };
  const collect = (tapped: TappedModel, maxWidth: number, task: string, half?: 0 | 1) =>
    collectGrams({
      model: tapped.model,
      widths: tapped.widths,
      dataset,
      openObserver: openOnnxruntimeObserver,
      modelPath: source.path,
      hints: feedHints(source.model),
      maxWidth,
      folder,
      ...(half !== undefined && { shard: { index: half, count: 2 }, prefix: `half-${half}-` }),
      onCopy: warnOfCopies(reporter),
      onProgress: ({ done, total, rssBytes: memoryBytes }) =>
        reporter.progress({ task, done, total, unit: 'samples', memoryBytes }),
    });
  try {
    const raw = tapped(source.model, twin, consumers, 'channels');
    const unit = tapped(source.model, twin, consumers, 'columns');
    const squares = needs.squares ? await collect(raw, 0, 'channel norms') : new Map();
    const first = needs.moments
      ? await collect(unit, MAX_WIDTH, 'second moments, 1 of 2', 0)
      : new Map();
    const second =
      needs.moments && samples > 1
        ? await collect(unit, MAX_WIDTH, 'second moments, 2 of 2', 1)
        : new Map();
    return {
      squares: async (consumer) => readSquares(squares.get(raw.nameOf(consumer))),
      moments: async (consumer) => {
        const name = unit.nameOf(consumer);
        return readMoments([first.get(name), second.get(name)]);
      },
      halves: async (consumer) => {
        const name = unit.nameOf(consumer);
        return readHalves(first.get(name), second.get(name));
      },
      data: { path: choice.data, sha256: dataset.hash },
      samples,
      multiply: product.multiply,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

interface TappedModel {
  readonly model: Model;
  readonly widths: ReadonlyMap<string, number>;
  nameOf(consumer: Consumer): string;
}

function tapped(
  source: Model,
  twin: Model,
  consumers: readonly Consumer[],
  layout: 'channels' | 'columns',
): TappedModel {
  const view = viewGraph(source);
  const { model, tapOf } = tapChannels(twin, consumers, layout, (consumer) =>
    columnsOf(view, consumer),
  );
  const taps = consumers.flatMap((consumer) => tapOf(consumer) ?? []);
  return {
    model,
    widths: new Map(taps.map(({ name, width }) => [name, width])),
    nameOf: (consumer) => tapOf(consumer)?.name ?? '',
  };
}

async function readFile32({ path }: GramFile): Promise<Float32Array> {
  return elementsFromBytes('float32', await readFile(path)) as Float32Array;
}

async function readSquares(file: GramFile | undefined): Promise<ChannelMoments | undefined> {
  if (file === undefined || file.isSilent) return undefined;
  return { width: file.width, squares: await readFile32(file) };
}

async function readMoments(
  files: readonly (GramFile | undefined)[],
): Promise<ChannelMoments | undefined> {
  const found = files.filter((file) => file !== undefined && !file.isDiagonal && !file.isSilent);
  const [first, ...others] = found as GramFile[];
  if (first === undefined) return undefined;
  let gram = await readFile32(first);
  for (const other of others) {
    const next = await readFile32(other);
    gram = gram.map((sum, index) => sum + next[index]!);
  }
  const { width } = first;
  const squares = Float32Array.from({ length: width }, (_, index) => gram[index * (width + 1)]!);
  return { width, squares, gram };
}

async function readHalves(
  first: GramFile | undefined,
  second: GramFile | undefined,
): Promise<HalvedMoments | undefined> {
  if (first === undefined || second === undefined || first.isDiagonal) return undefined;
  if (first.isSilent || second.isSilent) return undefined;
  return { width: first.width, halves: [await readFile32(first), await readFile32(second)] };
}
