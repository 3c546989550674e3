import { UnsupportedError } from '../../errors.ts';
import type { Dim, Model, ValueInfo } from '../../ir/model.ts';
import { eliminateDead } from '../../passes/eliminate-dead.ts';
import { foldConstants } from '../../passes/fold-constants.ts';
import { runPasses } from '../../passes/pass.ts';

/**
 * Returns the model with a size for every symbol of its inputs, shape arithmetic computed and what nobody
 * reads removed. Sums and products of symbols (`past + sequence`) follow from their parts. Throws UnsupportedError that names
 * every size that is missing.
 */
export function fixShapes(model: Model, sizes: Readonly<Record<string, number>>): Model {
  const missing = new Set<string>();
  const fixDim = (dim: Dim): Dim => {
    const size = typeof dim === 'string' ? sizeOf(dim, sizes) : dim;
    if (size === undefined) missing.add(String(dim));
    return size;
  };
  const fixInfo = (info: ValueInfo): ValueInfo =>
    info.type?.kind === 'tensor' && info.type.shape !== undefined
      ? { ...info, type: { ...info.type, shape: info.type.shape.map(fixDim) } }
      : info;
  const inputs = model.graph.inputs.map(fixInfo);
  if (missing.size > 0) {
    throw new UnsupportedError(
      `target coreml: sizes of inputs are not known (got ${[...missing].join(', ')} without a size, expected a number for each). Give the shape of each input, as in --shape ${exampleShape(model.graph.inputs, sizes)}.`,
    );
  }
  const outputs = model.graph.outputs.map((info) => forget(info));
  const graph = { ...model.graph, inputs, outputs, valueInfo: new Map() };
  return runPasses({ ...model, graph }, [foldConstants, eliminateDead]);
}

/** Returns `input_ids:1x64` for the first input whose sizes are not all known. */
function exampleShape(
  inputs: readonly ValueInfo[],
  sizes: Readonly<Record<string, number>>,
): string {
  for (const { name, type } of inputs) {
    const shape = type?.kind === 'tensor' ? (type.shape ?? []) : [];
    const known = shape.map((dim) => (typeof dim === 'string' ? sizeOf(dim, sizes) : dim));
    if (known.includes(undefined)) return `${name}:${known.map((size) => size ?? 64).join('x')}`;
  }
  return 'input:1x64';
}

/** Declared shapes of outputs have symbols; inference knows the numbers. */
function forget(info: ValueInfo): ValueInfo {
  if (info.type?.kind !== 'tensor') return info;
  const { shape: _, ...type } = info.type;
  return { ...info, type };
}

function sizeOf(symbol: string, sizes: Readonly<Record<string, number>>): number | undefined {
  const known = sizes[symbol];
  if (known !== undefined) return known;
  if (/^\d+$/.test(symbol)) return Number(symbol);
  for (const [mark, join] of [
    ['+', (a: number, b: number) => a + b],
    ['*', (a: number, b: number) => a * b],
  ] as const) {
    const parts = symbol.split(mark);
    if (parts.length === 1) continue;
    const values = parts.map((part) => sizeOf(part.trim(), sizes));
    return values.every((value) => value !== undefined) ? values.reduce(join) : undefined;
  }
  return undefined;
}
