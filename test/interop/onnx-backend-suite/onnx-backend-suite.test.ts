import { expect, it } from 'vitest';
import { temporaryFolder } from '../../kit/temporary-folder.ts';
import { pythonOrSkip } from '../python-venv.ts';
import { roundTripSuite, SUITE_PACKAGES } from './round-trip.ts';

const python = await pythonOrSkip(SUITE_PACKAGES);

/** Models that cannot survive, and the reason. */
const EXPECTED_MISSES: ReadonlyMap<string, string> = new Map();

it.skipIf(python === undefined)(
  'the official ONNX backend suite survives read and write',
  { timeout: 600_000 },
  async () => {
    const { total, misses } = await roundTripSuite(python!, temporaryFolder());
    console.info(`ONNX backend suite: ${total - misses.size} of ${total} models round-trip`);
    for (const [name, reason] of misses) console.info(`  ${name}: ${reason}`);
    expect(total).toBe(1884 + 149);
    expect(misses).toEqual(EXPECTED_MISSES);
  },
);
