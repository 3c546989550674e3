import { z } from 'zod';
import type { Target } from '../target.ts';

/** ONNX in the forms that onnxruntime runs as integers, under the names of transformers.js. */
export const ONNX: Target = {
  id: 'onnx',
  summary: 'ONNX for onnxruntime and transformers.js',
  options: z.strictObject({}),
  load: async () => (await import('./writer.ts')).onnxWriter,
};
