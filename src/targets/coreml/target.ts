import { z } from 'zod';
import type { Target } from '../target.ts';

/** An ML Program for Apple's devices, written without a Mac and not run by one. */
export const COREML: Target = {
  id: 'coreml',
  summary:
    'an .mlpackage of fixed shapes for Core ML, FP16 with INT8 weights; not run here, since only Apple has its runtime',
  options: z.strictObject({
    minIos: z
      .enum(['16', '17', '18'])
      .default('16')
      .describe('oldest iOS that loads the package (macOS 13, 14, 15)'),
  }),
  load: async () => (await import('./writer.ts')).coremlWriter,
};
