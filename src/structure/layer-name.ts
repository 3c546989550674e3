import type { Node } from '../ir/model.ts';
import { type Metadata, metadataValue } from '../ir/preserved.ts';

/** What a layer's name may be read from, best first where an exporter leaves several. */
export interface NameSources {
  readonly node: Node;
  /** Other nodes of the layer: the Add of a bias carries the scope where the MatMul does not. */
  readonly others?: readonly (Node | undefined)[];
  readonly weight?: { readonly name: string; readonly metadata?: Metadata | undefined } | undefined;
  readonly bias?: string | undefined;
}

/**
 * Returns the module path of a layer: from the node name as TorchScript and onnxruntime-genai write
 * it (`/model/layers.0/self_attn/q_proj/MatMul`), from torch's `name_scopes` metadata, from the
 * name of the weight or of what it was folded from, from the bias; else the node or weight name.
 */
export function layerName(sources: NameSources): string {
  const { node, others = [], weight, bias } = sources;
  const candidates = [
    pathOfNodeName(node.name),
    ...[node, ...others].map((entry) => pathOfScopes(entry?.metadata)),
    pathOfParameter(weight?.name),
    pathOfParameter(metadataValue(weight?.metadata, 'pkg.onnxscript.optimizer.folded_from')),
    pathOfParameter(bias),
  ];
  const found = candidates.find((candidate) => candidate !== undefined);
  return found ?? (node.name !== '' ? node.name : (weight?.name ?? node.outputs[0] ?? ''));
}

/** `/a/b.0/c/MatMul_1` -> `a.b.0.c` */
function pathOfNodeName(name: string): string | undefined {
  if (!name.startsWith('/')) return undefined;
  const segments = name.split('/').slice(1, -1);
  return segments.length > 0 ? segments.join('.') : undefined;
}

/** `['', 'model', 'model.layers.0', 'model.layers.0.mlp', 'linear_3']`: the last but one is the module. */
function pathOfScopes(metadata: Metadata | undefined): string | undefined {
  const scopes = metadataValue(metadata, 'pkg.torch.onnx.name_scopes');
  const module = scopes
    ?.match(/'([^']*)'/g)
    ?.at(-2)
    ?.slice(1, -1);
  return module === '' ? undefined : module;
}

/** `a.q_proj.weight` -> `a.q_proj`, `a.qkv_proj.MatMul.weight` -> `a.qkv_proj` */
function pathOfParameter(name: string | undefined): string | undefined {
  const quoted = name?.match(/^\['([^']+)'/)?.[1] ?? name;
  const match = quoted?.match(/^(.+?)(?:\.(?:MatMul|Add|Gemm|Conv))?\.(?:weight|bias)(?:_\w+)?$/);
  return match?.[1];
}
