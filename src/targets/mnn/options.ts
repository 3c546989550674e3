import { z } from 'zod';

/** Settings of the target. */
export const MNN_OPTIONS = z.strictObject({
  floats: z
    .enum(['float16', 'float32'])
    .default('float16')
    .describe('how float weights of a float16 model are stored; MNN computes in float32 with both'),
});
