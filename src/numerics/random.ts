/** A seeded stream of pseudo-random numbers; the same seed gives the same numbers on every machine. */
export interface Random {
  /** An integer of 32 bits, uniform. */
  uint32(): number;
  /** A float64 in [0, 1) with 53 random bits. */
  uniform(): number;
  /** An integer in [0, bound), uniform; `bound` is at most 2^32. */
  integer(bound: number): number;
  /** A standard normal value (Marsaglia's polar method, 1964). */
  normal(): number;
}

/**
 * Returns a stream by xoshiro128** (Blackman and Vigna, 2018) whose state is filled from `seed`, a
 * safe integer, by splitmix32.
 */
export function createRandom(seed: number): Random {
  const state = seedState(seed);
  const uint32 = (): number => {
    const [a, b, c, d] = state as unknown as [number, number, number, number];
    const result = Math.imul(rotate(Math.imul(b, 5), 7), 9) >>> 0;
    state[3] = rotate(d ^ b, 11);
    state[2] = c ^ a ^ (b << 9);
    state[1] = b ^ c ^ a;
    state[0] = a ^ d ^ b;
    return result;
  };
  const uniform = (): number => ((uint32() >>> 5) * 2 ** 26 + (uint32() >>> 6)) * 2 ** -53;
  return {
    uint32,
    uniform,
    integer: (bound) => Math.floor(uniform() * bound),
    normal: () => {
      for (;;) {
        const x = 2 * uniform() - 1;
        const y = 2 * uniform() - 1;
        const square = x * x + y * y;
        if (square > 0 && square < 1) return x * Math.sqrt((-2 * Math.log(square)) / square);
      }
    },
  };
}

/** Returns the items in a random order (Fisher-Yates); the input stays as it is. */
export function shuffle<T>(items: readonly T[], random: Random): T[] {
  const result = [...items];
  for (let last = result.length - 1; last > 0; last--) {
    const other = random.integer(last + 1);
    [result[last], result[other]] = [result[other]!, result[last]!];
  }
  return result;
}

function rotate(value: number, by: number): number {
  return (value << by) | (value >>> (32 - by));
}

function seedState(seed: number): Uint32Array {
  // The high word of the seed moves the start, so that seeds beyond 2^32 differ too.
  let counter = (seed ^ Math.imul(Math.floor(seed / 2 ** 32), 0x85ebca6b)) >>> 0;
  return Uint32Array.from({ length: 4 }, () => {
    counter = (counter + 0x9e3779b9) >>> 0;
    let mixed = counter;
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return (mixed ^ (mixed >>> 15)) >>> 0;
  });
}
