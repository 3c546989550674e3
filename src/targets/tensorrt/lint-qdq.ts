import { tensorAttribute } from '../../ir/attributes.ts';
import { declaredType } from '../../ir/declared-type.ts';
import { indexUses } from '../../ir/index-uses.ts';
import { type Graph, type Model, type Node, opsetVersion } from '../../ir/model.ts';
import { readTensorBytes } from '../../ir/tensor.ts';
import { inferShapes } from '../../passes/infer-shapes.ts';
import { runPasses } from '../../passes/pass.ts';
import type { Finding } from '../finding.ts';
import type { LintContext } from './lint-context.ts';
import { lintProduct } from './lint-product.ts';
import { lintScale } from './lint-scale.ts';

/**
 * Returns what TensorRT's explicit quantization (10 and 11) would refuse, ignore or slow down in a
 * Q/DQ model, in node order: zero points, scales, axes, nodes between a DequantizeLinear and its
 * product, one-sided products, types, and FP16 overflow candidates. Reads zero points and scales,
 * never whole weights. Rules: NvInfer.h 11.1 and the TensorRT guide on quantized types.
 */
export async function lintQdq(model: Model): Promise<readonly Finding[]> {
  const { graph } = runPasses(model, [inferShapes]);
  const index = indexUses(graph);
  const context: LintContext = {
    graph,
    index,
    opset: opsetVersion(model) ?? 1,
    constant: (value) => {
      const producer = index.producers.get(value);
      return graph.initializers.get(value) ?? (producer && tensorAttribute(producer, 'value'));
    },
  };
  const findings: Finding[] = [];
  for (const node of graph.nodes) {
    if (node.opType === 'QuantizeLinear' || node.opType === 'DequantizeLinear') {
      findings.push(...(await lintZeroPoint(context, node)));
      findings.push(...(await lintScale(context, node)));
    } else if (node.opType === 'MatMul' || node.opType === 'Gemm' || node.opType === 'Conv') {
      findings.push(...lintProduct(context, node));
    } else if (node.opType === 'Pow' && isFloat16(graph, node.inputs[0]!)) {
      findings.push({
        rule: 'float16-overflow',
        severity: 'warning',
        node: node.name,
        message:
          'Pow in FP16 overflows above 255 squared. Export the norm as one LayerNormalization or ' +
          'RMSNormalization, or cast it to FP32.',
      });
    }
  }
  return findings;
}

async function lintZeroPoint(context: LintContext, node: Node): Promise<Finding[]> {
  const name = node.inputs[2] ?? '';
  if (name === '') return [];
  const zeroPoint = context.constant(name);
  const error = (rule: string, message: string): Finding[] => [
    { rule, severity: 'error', node: node.name, message },
  ];
  if (zeroPoint === undefined) {
    return error('zero-point-constant', `zero point ${name} is not a constant.`);
  }
  if (zeroPoint.dataType === 'uint8' || zeroPoint.dataType === 'uint16') {
    return error('symmetric', `TensorRT takes signed integers only (got ${zeroPoint.dataType}).`);
  }
  // One unsigned or shifted weight is enough to spoil the layer, so every value is looked at.
  const bytes = await readTensorBytes(zeroPoint);
  return bytes.some((byte) => byte !== 0)
    ? error('symmetric', 'zero point is not 0: TensorRT is symmetric only.')
    : [];
}

function isFloat16(graph: Graph, value: string): boolean {
  return declaredType(graph, value)?.dataType === 'float16';
}
