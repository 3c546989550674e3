import { openModelOnDisk } from '../artifact/model-on-disk.ts';
import type { Inspection } from '../artifact/results.ts';
import { findWeightGrids } from '../quantize/inspect/find-weight-grids.ts';
import { inspectInterface, inspectModel } from '../quantize/inspect/inspect-model.ts';
import { resolveRequest } from './project/resolve-request.ts';

/**
 * Returns what is inside a model, or inside the model of the config: recognised in the form that is
 * quantized, with the interface and the opsets of the file. Reads a small sample of the weights.
 */
export async function inspect(options: {
  readonly model?: string | undefined;
  readonly config?: string | undefined;
}): Promise<Inspection> {
  const request = await resolveRequest(options);
  const source =
    request.kind === 'model' ? request.source : await openModelOnDisk(request.config.model);
  const { written, model } = source;
  return {
    schema: 'autoglm.inspect/1',
    path: source.path,
    files: source.files,
    summary: { ...inspectModel(model), ...inspectInterface(written) },
    weightGrids: await findWeightGrids(model),
  };
}
