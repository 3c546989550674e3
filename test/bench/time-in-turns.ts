/** Something to be timed under a name. */
export type Timed = readonly [name: string, work: () => unknown];

/** Returns the median milliseconds of each piece of work, run in turns so that noise hits all alike. */
export async function timeInTurns(
  pieces: readonly Timed[],
  rounds: number,
): Promise<ReadonlyMap<string, number>> {
  const times = new Map<string, number[]>(pieces.map(([name]) => [name, []]));
  for (let round = -1; round < rounds; round++) {
    for (const [name, work] of pieces) {
      const start = performance.now();
      await work();
      // Round -1 warms up.
      if (round >= 0) times.get(name)!.push(performance.now() - start);
    }
  }
  return new Map(
    [...times].map(([name, list]) => [name, list.sort((a, b) => a - b)[list.length >> 1]!]),
  );
}
