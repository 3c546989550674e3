import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import { initializerBytes } from '../../ir/constants.ts';
import type { Model } from '../../ir/model.ts';
import { formatBytes } from '../../report/format.ts';
import { describeForms, findQuantized } from '../../structure/find-quantized.ts';

/** Returns a sentence when layers of the source were integers already, and one when an artifact grew. */
export function sourceWarnings(source: ModelOnDisk, written: ModelOnDisk): readonly string[] {
  const lines = [alreadyQuantized(source.model), whyLarger(source, written)];
  return lines.filter((line) => line !== undefined);
}

/** Returns the line that says which layers of the source are integers already, or undefined when none are. */
export function alreadyQuantized(model: Model): string | undefined {
  const found = findQuantized(model);
  if (found.length === 0) return undefined;
  return `Already quantized, and left as they are: ${describeForms(found)}.`;
}

/** Returns the line that says that an artifact is larger than its source, and by what; undefined when it is not. */
export function whyLarger(source: ModelOnDisk, written: ModelOnDisk): string | undefined {
  const [before, after] = [totalBytes(source), totalBytes(written)];
  if (after <= before) return undefined;
  const widened = floatBytes(written.model) - floatBytes(source.model);
  const cause =
    widened > 0
      ? `floats that are not quantized, and scales, take ${formatBytes(widened)} more in float32`
      : 'the nodes that quantizing adds take more than the integers save';
  return `The artifact is larger than its source (${formatBytes(before)} -> ${formatBytes(after)}): ${cause}.`;
}

function totalBytes({ files }: ModelOnDisk): number {
  return files.reduce((total, { byteLength }) => total + byteLength, 0);
}

/** Bytes of the float32 constants of the main graph. */
function floatBytes({ graph }: Model): number {
  return initializerBytes(graph, ({ dataType, source }) =>
    dataType === 'float32' ? source.byteLength : 0,
  );
}
