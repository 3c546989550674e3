import { attributes } from '../../ir/attributes.ts';
import { editGraph, nameMaker, withGraph } from '../../ir/edit.ts';
import { type Model, type Node, opsetVersion } from '../../ir/model.ts';
import { inlineTensor, type Tensor } from '../../ir/tensor.ts';
import type { CalibratedInput } from './calibrated-inputs.ts';

/** First opset whose ReduceMax takes its axes as an input. */
const AXES_INPUT_OPSET = 18;

/** A model that says how far activations reach. */
export interface ReachModel {
  readonly model: Model;
  /** Value by layer: a number for each row of its input, 1 at the end of the calibrated range. */
  readonly reach: ReadonlyMap<string, string>;
}

/**
 * Returns `model` with the reach of the rows (along the last axis) of float32 activations: `max(x / high, x / low)`. What comes
 * back of a run is one number a token and layer.
 */
export function makeReachModel(model: Model, inputs: readonly CalibratedInput[]): ReachModel {
  const { graph } = model;
  const freshName = nameMaker(graph);
  const constants: Tensor[] = [];
  const scalar = (wanted: string, value: number): string => {
    const name = freshName(wanted);
    const bytes = new Uint8Array(Float32Array.of(value).buffer);
    constants.push(inlineTensor(name, 'float32', [], bytes));
    return name;
  };
  const axes = freshName('autoglm_last_axis');
  constants.push(inlineTensor(axes, 'int64', [1], new Uint8Array(BigInt64Array.of(-1n).buffer)));
  const isInput = (opsetVersion(model) ?? 1) >= AXES_INPUT_OPSET;
  const nodes: Node[] = [];
  const reach = new Map<string, string>();
  for (const { value, low, high, layer } of inputs) {
    const fresh = (part: string): string => freshName(`${value}_${part}`);
    const step = (high - low) / 255;
    const [above, below, most, rows] = ['above', 'below', 'most', 'reach'].map(fresh) as [
      string,
      string,
      string,
      string,
    ];
    // A range that ends at zero is left by whatever passes it by a step.
    const ends = [Math.max(high, step), Math.min(low, -step)] as const;
    nodes.push(
      makeNode('Mul', [value, scalar(`${value}_high`, 1 / ends[0])], above),
      makeNode('Mul', [value, scalar(`${value}_low`, 1 / ends[1])], below),
      makeNode('Max', [above, below], most),
      {
        ...makeNode('ReduceMax', isInput ? [most, axes] : [most], rows),
        attributes: attributes({ keepdims: 0n, ...(isInput ? {} : { axes: [-1n] }) }),
      },
    );
    reach.set(layer, rows);
  }
  const [last] = graph.nodes.slice(-1);
  const edited = editGraph(graph, {
    replace: new Map(last === undefined ? [] : [[last, [last, ...nodes]]]),
    addInitializers: constants,
  });
  return { model: withGraph(model, edited), reach };
}

function makeNode(opType: string, inputs: readonly string[], output: string): Node {
  return {
    name: `${output}_node`,
    opType,
    domain: '',
    inputs,
    outputs: [output],
    attributes: attributes({}),
  };
}
