import { intAttribute } from '../../ir/attributes.ts';
import type { Node } from '../../ir/model.ts';
import type { Finding } from '../finding.ts';
import { channelAxis, isPerTensor, type LintContext } from './lint-context.ts';

const BETWEEN: ReadonlySet<string> = new Set(['Cast', 'Transpose', 'Reshape', 'Identity']);

/** What stands before one factor of a product. */
interface Factor {
  readonly dequantize: Node | undefined;
  /** Nodes between the DequantizeLinear and the product. */
  readonly between: readonly Node[];
  /** True when the integers are a constant (or a constant behind QuantizeLinear). */
  readonly isWeight: boolean;
}

/** Returns what keeps a MatMul, Gemm or Conv from becoming one INT8 kernel. */
export function lintProduct(context: LintContext, node: Node): Finding[] {
  const factors = [0, 1].map((position) => traceFactor(context, node.inputs[position]!));
  const quantized = factors.filter(({ dequantize }) => dequantize !== undefined);
  if (quantized.length === 0) return [];
  const findings: Finding[] = [];
  const add = (rule: string, severity: Finding['severity'], message: string): void => {
    findings.push({ rule, severity, node: node.name, message });
  };
  if (quantized.length === 1) {
    if (quantized[0]!.isWeight) {
      add('weight-only', 'info', 'weight-only: TensorRT folds the INT8 weight back to float.');
    } else add('one-sided', 'warning', 'only one factor is quantized: no INT8 kernel.');
  }
  factors.forEach(({ dequantize, between, isWeight }, position) => {
    if (dequantize === undefined) return;
    for (const { opType } of between) {
      const message = `${opType} between DequantizeLinear and ${node.opType} stops the INT8 fusion.`;
      add('between', 'error', message);
    }
    const scale = context.constant(dequantize.inputs[1]!);
    if (scale === undefined || isPerTensor(scale)) return;
    if (!isWeight) add('activation-per-tensor', 'error', 'an activation has a scale per channel.');
    else if (channelAxis(dequantize, 2) !== outputAxis(node, position)) {
      add('weight-axis', 'error', 'the weight is not scaled along its output channels.');
    }
  });
  return findings;
}

function traceFactor({ index, constant }: LintContext, value: string): Factor {
  const between: Node[] = [];
  let producer = index.producers.get(value);
  while (producer !== undefined && BETWEEN.has(producer.opType)) {
    between.push(producer);
    producer = index.producers.get(producer.inputs[0]!);
  }
  if (producer?.opType !== 'DequantizeLinear') {
    return { dequantize: undefined, between: [], isWeight: false };
  }
  const quantizer = index.producers.get(producer.inputs[0]!);
  const origin =
    quantizer?.opType === 'QuantizeLinear' ? quantizer.inputs[0]! : producer.inputs[0]!;
  return { dequantize: producer, between, isWeight: constant(origin) !== undefined };
}

/** Axis of the output channels of the weight at an input: OIHW, [K, N] or [N, K] with transB. */
function outputAxis(node: Node, position: number): number {
  if (node.opType === 'Conv') return 0;
  if (node.opType === 'Gemm' && position === 1)
    return intAttribute(node, 'transB', 0) === 1 ? 0 : 1;
  return position === 1 ? 1 : 0;
}
