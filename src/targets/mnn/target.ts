import type { Target } from '../target.ts';
import { MNN_OPTIONS } from './options.ts';

/** A `.mnn` graph and its weights for MNN 3, on phones and elsewhere. */
export const MNN: Target = {
  id: 'mnn',
  summary: 'model.mnn and its weights for MNN 3',
  options: MNN_OPTIONS,
  load: async () => (await import('./writer.ts')).mnnWriter,
};
