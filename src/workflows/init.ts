import { UsageError } from '../errors.ts';
import { exists } from '../storage/replace-folder.ts';
import { writeFileAtomic } from '../storage/write-file-atomic.ts';

const STARTER = `# autoglm: what "autoglm run" does, and what verbs without a model take their defaults from.
# Paths are relative to this file.
model: model.onnx              # or a folder: Hugging Face onnx/, optimum, onnxruntime-genai
data: calibration/text         # a folder with dataset.yaml, or a bare .txt, .jsonl, .npz, image folder
output: out

calibrate:
  samples: 32                  # calibration samples
  # sequenceLength: 256        # tokens per text sample
  # calibrator: auto           # minmax | percentile | entropy | mse | auto
  seed: 0

quantize:
  recipe: w8a8                 # "autoglm recipe list", or a YAML file of your own
  # activations: float32       # float16 for an artifact that only TensorRT reads

# export:
#   target: tensorrt           # tensorrt | onnx
#   shape: [input_ids:1x1..1x128..1x512]

check:
  device: auto                 # auto | cpu | webgpu | cuda | tensorrt
  # latency: false             # leaves the timing out
  gates:                       # a gate that fails ends with exit code 3
    maxTop1Drop: 1.2%          # points of next-token or class accuracy
    maxPerplexityRatio: 1.02
    maxSizeRatio: 0.52
`;

/** Writes a commented config. Throws UsageError when the file exists and `force` is not set. */
export async function writeStarterConfig(
  path: string,
  force: boolean,
): Promise<{ readonly schema: 'autoglm.init/1'; readonly path: string }> {
  if (!force && (await exists(path))) {
    throw new UsageError(`${path}: already exists. Use --force to replace it.`);
  }
  await writeFileAtomic(path, STARTER);
  return { schema: 'autoglm.init/1', path };
}
