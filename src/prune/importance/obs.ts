import { NO_UNIT } from '../axis-rule.ts';
import { widthOf } from '../consumer-columns.ts';
import type { PruneGroup } from '../group.ts';
import type { UnitWeight } from '../unit-weights.ts';
import { readColumns } from '../weight-columns.ts';
import type { Importance, ScoredGroup } from './importance.ts';
import { lostError, type Operation, openOperation, removeChannels } from './surgeon.ts';

/** Units of a stretch are chosen in this many turns, those of a turn together. */
const TURNS = 32;

/** One weight that reads the units, and where they lie in it. */
interface Reader {
  readonly operation: Operation;
  /** Input channels by unit. */
  readonly places: readonly (readonly number[])[];
}

/**
 * What least squares cannot restore of the output when a unit goes after those that matter less (Optimal Brain
 * Surgeon, Hassibi and Stork 1993; OSSCAR, Meng et al. 2024): units go a few at a time, and each turn the others, which
 * have taken on what went, are judged anew, so that of two channels that say the same only one goes. No unit scores
 * less than one that went before it.
 */
export const obs: Importance = {
  name: 'obs',
  description: 'error of the output that is left when the other channels make up for a channel',
  needs: 'moments',
  async score(scored) {
    const { group, mostPerBlock, multiply } = scored;
    const readers = await openReaders(scored);
    if (typeof readers === 'string') return readers;
    const blocks = stretchesOf(group);
    const scores = new Float64Array(group.unitCount);
    const perTurn = Math.max(1, Math.ceil(mostPerBlock / TURNS));
    for (let gone = 0; gone < mostPerBlock; gone += perTurn) {
      const count = Math.min(perTurn, mostPerBlock - gone);
      const going = blocks.flatMap((block) => takeLowest(block, readers, scores, count));
      for (const { operation, places } of readers) {
        await removeChannels(
          operation,
          going.flatMap((unit) => places[unit]!),
          multiply,
        );
      }
    }
    for (const block of blocks) takeLowest(block, readers, scores, block.units.length);
    return scores;
  },
};

/** Units of one stretch that are still there. */
interface Stretch {
  units: readonly number[];
  /** The highest score of those that went. */
  highest: number;
}

function stretchesOf({ unitCount, blockCount }: PruneGroup): readonly Stretch[] {
  const size = unitCount / blockCount;
  return Array.from({ length: blockCount }, (_, block) => ({
    units: Array.from({ length: size }, (_, index) => block * size + index),
    highest: 0,
  }));
}

/** Takes the units with the least error off a stretch and writes down their scores. */
function takeLowest(
  stretch: Stretch,
  readers: readonly Reader[],
  scores: Float64Array,
  count: number,
): readonly number[] {
  const errors = new Map(
    stretch.units.map((unit): [number, number] => [
      unit,
      readers.reduce((sum, { operation, places }) => sum + lostError(operation, places[unit]!), 0),
    ]),
  );
  const order = [...stretch.units].sort((a, b) => errors.get(a)! - errors.get(b)! || a - b);
  const going = order.slice(0, count);
  for (const unit of going) {
    stretch.highest = Math.max(stretch.highest, errors.get(unit)!);
    scores[unit] = stretch.highest;
  }
  stretch.units = stretch.units.filter((unit) => !going.includes(unit));
  return going;
}

async function openReaders({
  group,
  weights,
  moments,
  multiply,
}: ScoredGroup): Promise<readonly Reader[] | string> {
  const readers: Reader[] = [];
  for (const weight of weights) {
    const { consumer, columns } = weight;
    if (consumer === undefined || columns === undefined) continue;
    const seen = await moments(consumer);
    if (seen?.gram === undefined || seen.width !== widthOf(columns)) {
      return 'its second moments are not known';
    }
    const known = columns.bias === undefined ? seen.gram : aboutMeans(seen.gram, seen.width);
    const rows = await readColumns({ ...weight, columns });
    const operation = await openOperation(known, rows, multiply);
    if (operation === undefined) return 'no sample reached its channels';
    readers.push({ operation, places: placesOf(weight, columns.taps, group.unitCount) });
  }
  return readers;
}

/** A bias makes up for means: moments about them, without the column of ones. */
function aboutMeans(gram: Float32Array, width: number): Float32Array {
  const size = width - 1;
  const last = size * width;
  const result = new Float32Array(size * size);
  for (let row = 0; row < size; row++) {
    const mean = gram[last + row]! / gram[last + size]!;
    for (let column = 0; column < size; column++) {
      result[row * size + column] = gram[row * width + column]! - mean * gram[last + column]!;
    }
  }
  return result;
}

/** The columns of each unit. */
function placesOf(
  { units }: UnitWeight,
  taps: number,
  unitCount: number,
): readonly (readonly number[])[] {
  const places: number[][] = Array.from({ length: unitCount }, () => []);
  units.forEach((unit, index) => {
    if (unit === NO_UNIT) return;
    for (let tap = 0; tap < taps; tap++) places[unit]!.push(index * taps + tap);
  });
  return places;
}
