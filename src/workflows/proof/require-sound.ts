import type { ModelOnDisk } from '../../artifact/model-on-disk.ts';
import { FormatError, UnsupportedError } from '../../errors.ts';
import { nodeLabel } from '../../ir/node-label.ts';
import { inferFacts } from '../../passes/infer-facts.ts';
import { requireRaised } from '../../passes/prepare-model.ts';
import { onnxruntimeRunner } from '../../runners/onnxruntime/onnxruntime-runner.ts';

/**
 * Throws when a source cannot be transformed whatever is asked: UnsupportedError when its opset cannot be
 * raised, {@link FormatError} when it declares element types that its operators do not make and onnxruntime, asked
 * only then, refuses to load it. Converters that change a model to float16 leave such declarations behind.
 */
export async function requireSound(source: ModelOnDisk): Promise<void> {
  const { model, path, isWidened } = source;
  requireRaised(model, path);
  const [first] = inferFacts(model).contradictions;
  if (first === undefined || isWidened || (await loads(path))) return;
  const { value, node, declared, inferred } = first;
  throw new FormatError(
    `${path}: onnxruntime cannot load it, because "${value}" is declared ${declared} and ${node.opType} ` +
      `"${nodeLabel(node)}" makes ${inferred}. Export it again, or mend the declaration.`,
  );
}

async function loads(path: string): Promise<boolean> {
  try {
    const session = await onnxruntimeRunner.load(path, { device: 'cpu', optimization: 'disabled' });
    await session.close();
    return true;
  } catch (error) {
    if (error instanceof FormatError) return false;
    // An operator without a kernel is no contradiction: whoever runs the model says so.
    if (error instanceof UnsupportedError) return true;
    throw error;
  }
}
