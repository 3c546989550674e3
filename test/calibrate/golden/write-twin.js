/**
 * Writes what onnxruntime's Python calibrator needs to see the same numbers as we do: the float32
 * twin of a fixture and the feeds of its calibration samples. Called by make_minmax.py.
 * node write-twin.js <model.onnx> <data set> <samples> <folder>
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { openDataset } from '../../../dist/calibrate/dataset.js';
import { feedInputs } from '../../../dist/calibrate/feed-input.js';
import { makeFeeds } from '../../../dist/calibrate/make-feeds.js';
import { convertToFloat32 } from '../../../dist/passes/convert-to-float32.js';
import { hashFile } from '../../../dist/storage/hash-file.js';
import { openModel, saveModel } from '../../../dist/storage/model-file.js';
import { findLinears } from '../../../dist/structure/find-linears.js';

const [modelPath, dataPath, samples, folder] = process.argv.slice(2);
mkdirSync(folder, { recursive: true });
const twin = convertToFloat32.run(await openModel(modelPath), { decline: () => {} });
await saveModel(twin, join(folder, 'twin.onnx'));
const tokenizer = join(dirname(modelPath), 'tokenizer.json');
const dataset = await openDataset(dataPath, {
  samples: Number(samples),
  ...(existsSync(tokenizer) && { tokenizer }),
});
const inputs = feedInputs(twin.graph);
const feeds = [];
for await (const sample of dataset.samples('calibration')) {
  const files = [];
  for (const [name, { dataType, dims, data }] of makeFeeds(inputs, sample)) {
    const file = `${sample.index}-${files.length}.bin`;
    writeFileSync(join(folder, file), Buffer.from(data.buffer, data.byteOffset, data.byteLength));
    files.push({ name, dataType, dims, file });
  }
  feeds.push(files);
}
const values = [...new Set(findLinears(twin).map(({ input }) => input))];
const head = { modelSha256: await hashFile(modelPath), dataSha256: dataset.hash, values };
writeFileSync(join(folder, 'twin.json'), JSON.stringify({ ...head, feeds }));
