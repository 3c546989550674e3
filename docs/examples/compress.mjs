/**
 * A model, compressed by the library as `autoglm export` does it.
 *
 *     node compress.mjs MODEL DATA OUT [TARGET] [RECIPE]
 */
import {
  calibrateModel,
  openDataset,
  openModelOnDisk,
  planCompression,
  writeArtifact,
} from 'autoglm';

const [model, data, out, target = 'onnx', recipe = 'w8a8'] = process.argv.slice(2);

const source = await openModelOnDisk(model);
const calibration = await calibrateModel(source, await openDataset(data));
const { plan } = await planCompression(source.model, { recipe, calibration });
const { files } = await writeArtifact(out, source, plan, { target, data: { data } });

const { bytesBefore, bytesAfter, layers } = plan.totals;
process.stdout.write(`${JSON.stringify({ files, layers, ratio: bytesAfter / bytesBefore })}\n`);
