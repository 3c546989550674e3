import { declaredType } from '../../ir/declared-type.ts';
import type { Node } from '../../ir/model.ts';
import { readTensorBytes, type Tensor } from '../../ir/tensor.ts';
import { FLOAT16_MIN_SCALE } from '../../numerics/affine.ts';
import { float16ToFloat32 } from '../../numerics/float16.ts';
import type { Finding } from '../finding.ts';
import type { LintContext } from './lint-context.ts';

const FLOAT32_MIN_NORMAL = 2 ** -126;
const FLOAT16_SCALE_OPSET = 19;

/** Returns what is wrong with the scale of a QuantizeLinear or DequantizeLinear. */
export async function lintScale(context: LintContext, node: Node): Promise<Finding[]> {
  const scale = context.constant(node.inputs[1]!);
  const findings: Finding[] = [];
  const add = (rule: string, severity: Finding['severity'], message: string): void => {
    findings.push({ rule, severity, node: node.name, message });
  };
  if (scale === undefined) {
    add('scale-constant', 'error', `scale ${node.inputs[1]} is not a constant.`);
    return findings;
  }
  if (scale.dataType === 'float16' && context.opset < FLOAT16_SCALE_OPSET) {
    add(
      'scale-opset',
      'error',
      `FP16 scales need opset ${FLOAT16_SCALE_OPSET} (got ${context.opset}).`,
    );
  }
  const values = await readFloats(scale);
  const lowest = scale.dataType === 'float16' ? FLOAT16_MIN_SCALE : FLOAT32_MIN_NORMAL;
  if (values === undefined) add('scale-type', 'error', `scale is ${scale.dataType}.`);
  else if (!values.every((value) => value > 0 && Number.isFinite(value))) {
    add('scale-positive', 'error', 'a scale is not a positive finite number.');
  } else if (values.some((value) => value < lowest)) {
    add('scale-subnormal', 'error', `a scale is too small for ${scale.dataType}.`);
  }
  const float = node.opType === 'QuantizeLinear' ? node.inputs[0]! : node.outputs[0]!;
  const type = declaredType(context.graph, float)?.dataType;
  if (type !== undefined && type !== scale.dataType) {
    const message = `scale is ${scale.dataType} beside ${type} values: a Cast there stops the fusion.`;
    add('scale-type', 'error', message);
  }
  return findings;
}

async function readFloats(tensor: Tensor): Promise<Float32Array | undefined> {
  if (tensor.dataType !== 'float32' && tensor.dataType !== 'float16') return undefined;
  const bytes = await readTensorBytes(tensor);
  if (tensor.dataType === 'float32') return new Float32Array(bytes.buffer);
  return Float32Array.from(new Uint16Array(bytes.buffer), float16ToFloat32);
}
