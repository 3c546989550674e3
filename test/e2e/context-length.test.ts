import { join } from 'node:path';
import { expect, it } from 'vitest';
import { check } from '../../src/workflows/check.ts';
import { quantize } from '../../src/workflows/quantize.ts';
import { root } from '../kit/paths.ts';
import { silent } from '../kit/reporters.ts';
import { temporaryFolder } from '../kit/temporary-folder.ts';

it('times a decoder with as many tokens as --context-length says, and at one token after them', async () => {
  const output = temporaryFolder();
  const model = join(root, 'fixtures/glm-nano/optimum');
  await quantize({ model, recipe: 'w8a16', output }, silent);
  const result = await check(
    {
      artifact: output,
      data: join(root, 'calibration/text'),
      samples: 1,
      device: 'cpu',
      gates: [],
      latency: true,
      contextLength: 16,
    },
    silent,
  );
  expect(result.latency.map(({ scenario }) => scenario)).toEqual(['prefill 16', 'decode after 16']);
}, 120_000);
