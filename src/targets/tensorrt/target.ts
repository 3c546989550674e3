import { z } from 'zod';
import type { Target } from '../target.ts';

/** Explicit Q/DQ for TensorRT 10 and 11, with the script that builds the engine. */
export const TENSORRT: Target = {
  id: 'tensorrt',
  summary: 'a Q/DQ model, its float baseline and a build script for TensorRT 10 and 11',
  options: z.strictObject({}),
  load: async () => (await import('./writer.ts')).tensorrtWriter,
};
