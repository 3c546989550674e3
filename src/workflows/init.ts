import { UsageError } from '../errors.ts';
import { exists } from '../storage/replace-folder.ts';
import { writeFileAtomic } from '../storage/write-file-atomic.ts';
import { TARGETS } from '../targets/index.ts';
import type { Target } from '../targets/target.ts';
import { DEVICES } from './choices.ts';

const starter =
  (): string => `# autoglm: what "autoglm run" does, and what verbs without a model take their defaults from.
# Paths are relative to this file.
model: model.onnx              # or a folder: Hugging Face onnx/, optimum, onnxruntime-genai
data: calibration/mixed        # a folder with dataset.yaml, or a bare .txt, .jsonl, .npz, image folder
output: out

calibrate:
  samples: 32                  # calibration samples
  # sequenceLength: 256        # tokens per text sample
  # calibrator: auto           # minmax | percentile | entropy | mse | auto
  seed: 0

quantize:
  recipe: w8a8                 # "autoglm recipe list", or a YAML file of your own
  # activations: float32       # float16 for an artifact that only TensorRT reads

# export:                        # any of these, each in a folder of its own
${TARGETS.map(sectionOf).join('\n')}

check:
  device: auto                 # ${DEVICES.join(' | ')}
  # latency: false             # leaves the timing out
  gates:                       # a gate that fails ends with exit code 3
    maxTop1Drop: 1.2%          # points of next-token or class accuracy
    maxPerplexityRatio: 1.02
    maxSizeRatio: 0.52
    # maxWorstDomainKl: 0.05     # of the kind of text that suffers most
`;

function sectionOf({ id, summary }: Target): string {
  return `${`#   ${id}: {}`.padEnd(31)}# ${summary}`;
}

/** Writes a commented config. Throws UsageError when the file exists and `force` is not set. */
export async function writeStarterConfig(
  path: string,
  force: boolean,
): Promise<{ readonly schema: 'autoglm.init/1'; readonly path: string }> {
  if (!force && (await exists(path))) {
    throw new UsageError(`${path}: already exists. Use --force to replace it.`);
  }
  await writeFileAtomic(path, starter());
  return { schema: 'autoglm.init/1', path };
}
