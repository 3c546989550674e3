import type { Model, Node } from '../ir/model.ts';
import { type GraphView, isMoving, isOp, isTransparent, viewGraph } from '../passes/graph-view.ts';
import { bodyOf, type OpenedModel } from '../passes/open-bodies.ts';
import type { Declined, PassContext } from '../passes/pass.ts';
import type { AttentionBlock, Block, FfnBlock } from './block.ts';
import { type AttentionCore, collectAttention, findRotary } from './collect-attention.ts';
import { collectLinears } from './collect-linears.ts';
import { type Activation, collectActivations } from './find-activations.ts';
import { collectNorms, type Norm } from './find-norms.ts';
import { findResidual, indexNorms, type NormIndex, normsAround } from './find-residual.ts';
import type { LinearLayer, LinearRole } from './linear-layer.ts';
import { attentionRoles, headCounts } from './match-attention.ts';
import { type FfnMatch, matchFfn } from './match-ffn.ts';
import { indexLayers, type LayerIndex, traceDownstream, traceUpstream } from './trace.ts';

/** What a model is made of, found by the shape of its graph; names only label what was found. */
export interface Recognition {
  readonly linears: readonly LinearLayer[];
  readonly norms: readonly Norm[];
  readonly activations: readonly Activation[];
  /** Attention and feed-forward blocks in the order of the data. */
  readonly blocks: readonly Block[];
  /** Products and softmax of every attention, also of those that are part of no block. */
  readonly attentions: readonly AttentionCore[];
}

/** A recognition with what was declined on the way, which every caller is told. */
interface Known {
  readonly recognition: Recognition;
  readonly declined: readonly Declined[];
}

/** Models do not change, so each is recognised once, or once for each way in which bodies lie in it. */
const known = new WeakMap<Model, WeakMap<object, Known>>();
/** Stands for "no bodies" in {@link known}. */
const CLOSED = {};

/** A block whose layers still have their roles in a table of their own. */
interface Found {
  readonly roles: ReadonlyMap<LinearLayer, LinearRole>;
  /** Where in the graph the block ends; blocks are ordered by it. */
  readonly end: number;
  readonly block: Unlabelled<AttentionBlock> | Unlabelled<FfnBlock>;
}

type Unlabelled<B extends Block> = Omit<B, 'index' | 'name' | 'linears'>;

interface Search {
  readonly view: GraphView;
  readonly index: LayerIndex;
  readonly norms: NormIndex;
  readonly context: PassContext;
}

/**
 * Returns the linear layers, norms, activations and transformer blocks of the main graph: the same object each
 * time for the same model. What looks like one but is not is reported to `context` with the reason. `opened`
 * says which nodes lie in bodies, when `model` is `opened.model` or what a pass made of it.
 */
export function recognize(model: Model, context?: PassContext, opened?: OpenedModel): Recognition {
  const byBodies = known.get(model) ?? new WeakMap<object, Known>();
  known.set(model, byBodies);
  const key = opened === undefined || opened.bodies.length === 0 ? CLOSED : opened;
  const found = byBodies.get(key) ?? recognizeOnce(model, opened);
  byBodies.set(key, found);
  for (const declined of found.declined) context?.decline(declined);
  return found.recognition;
}

function recognizeOnce(model: Model, opened: OpenedModel | undefined): Known {
  const declined: Declined[] = [];
  const context: PassContext = { decline: (entry) => declined.push(entry) };
  const isInner = (node: Node): boolean =>
    opened !== undefined && bodyOf(opened, node) !== undefined;
  return { recognition: search(model, context, isInner), declined };
}

function search(model: Model, context: PassContext, isInner: (node: Node) => boolean): Recognition {
  const view = viewGraph(model);
  const linears = collectLinears(view, context, isInner);
  const norms = collectNorms(view, context);
  const activations = collectActivations(view);
  const around: Search = {
    view,
    index: indexLayers(linears),
    norms: indexNorms(view, norms),
    context,
  };
  const roles = new Map<LinearLayer, LinearRole>();
  const found: Found[] = [];
  const keep = (match: Found | undefined): void => {
    if (match === undefined) return;
    found.push(match);
    for (const [layer, role] of match.roles) roles.set(layer, role);
  };
  const attentions = collectAttention(view);
  for (const core of attentions) keep(attentionBlock(around, core));
  const byOutput = new Map(activations.map((activation) => [activation.output, activation]));
  for (const layer of linears) {
    if (roles.has(layer)) continue;
    const match = matchFfn(view, around.index, byOutput, layer);
    if (match === undefined) continue;
    for (const [part, role] of ffnRoles(match)) roles.set(part, role);
    keep(ffnBlock(around, match));
  }
  found.sort((a, b) => a.end - b.end);
  const indices = layerIndices(view, found);
  const finished = finishLayers(view, linears, roles, indices);
  return {
    linears: linears.map((layer) => finished.get(layer) ?? layer),
    norms,
    activations,
    blocks: found.map((match) => finishBlock(match, indices.get(match) ?? 0, finished)),
    attentions,
  };
}

function attentionBlock(search: Search, core: AttentionCore): Found | undefined {
  const { view, index, norms } = search;
  const decline = (reason: string): undefined => {
    search.context.decline({ pass: 'find-blocks', node: core.node.name || core.output, reason });
  };
  const [query, key, value] = [core.query, core.key, core.value].map((name) =>
    traceUpstream(view, index, name),
  );
  const output = traceDownstream(view, index, core.output);
  if (query === undefined || key === undefined || value === undefined) return undefined;
  if (output === undefined) return decline('no output projection follows the attention');
  if (query.layers.length === 0 && core.form !== 'packed') {
    return decline('no query projection precedes the attention');
  }
  const residual = findResidual(view, norms, output.output);
  if (residual === undefined) return decline('the output projection does not join a residual sum');
  const roles = attentionRoles(query.layers, key.layers, value.layers, output);
  const entry = query.layers[0]?.input ?? core.query;
  return {
    roles,
    end: view.position(residual.node),
    block: {
      kind: 'attention',
      form: core.form,
      input: residual.input,
      output: residual.output,
      norms: normsAround(view, norms, entry, residual),
      ...headCounts(view, core, roles, output),
      rotary: core.rotary ?? findRotary(view, query.nodes),
      core: core.node,
    },
  };
}

function ffnRoles(match: FfnMatch): ReadonlyMap<LinearLayer, LinearRole> {
  const { gate, up, down } = match;
  if (up === undefined)
    return new Map([
      [gate, 'ffn-in'],
      [down, 'down'],
    ]);
  if (up === gate)
    return new Map([
      [gate, 'gate-up'],
      [down, 'down'],
    ]);
  return new Map([
    [gate, 'gate'],
    [up, 'up'],
    [down, 'down'],
  ]);
}

function ffnBlock(search: Search, match: FfnMatch): Found | undefined {
  const { view, norms } = search;
  const { activation, down, gate, up, gateHalf } = match;
  const residual = findResidual(view, norms, down.output);
  if (residual === undefined) {
    const reason = 'the down projection does not join a residual sum';
    search.context.decline({ pass: 'find-blocks', node: down.name, reason });
    return undefined;
  }
  return {
    roles: ffnRoles(match),
    end: view.position(residual.node),
    block: {
      kind: 'ffn',
      input: residual.input,
      output: residual.output,
      norms: normsAround(view, norms, gate.input, residual),
      activation: activation.kind,
      gated: up !== undefined,
      width: down.inFeatures,
      gateHalf,
    },
  };
}

/** Numbers the layers: an FFN belongs to the attention it follows, or runs beside (parallel blocks). */
function layerIndices(view: GraphView, found: readonly Found[]): ReadonlyMap<Found, number> {
  const indices = new Map<Found, number>();
  const attentions = found.filter(({ block }) => block.kind === 'attention');
  const byValue = new Map<string, number>();
  attentions.forEach((match, index) => {
    indices.set(match, index);
    byValue.set(view.origin(match.block.input), index);
  });
  // After the inputs, so that the output of one layer wins over "input of the next".
  attentions.forEach(({ block }, index) => {
    byValue.set(view.origin(block.output), index);
    if (block.norms.after !== undefined) byValue.set(block.norms.after.output, index);
  });
  found
    .filter(({ block }) => block.kind === 'ffn')
    .forEach((match, ordinal) => {
      indices.set(match, byValue.get(view.origin(match.block.input)) ?? ordinal);
    });
  return indices;
}

function finishLayers(
  view: GraphView,
  linears: readonly LinearLayer[],
  roles: ReadonlyMap<LinearLayer, LinearRole>,
  indices: ReadonlyMap<Found, number>,
): ReadonlyMap<LinearLayer, LinearLayer> {
  const blockOf = new Map<LinearLayer, number>();
  for (const [match, index] of indices) {
    for (const layer of match.roles.keys()) blockOf.set(layer, index);
  }
  return new Map(
    linears.map((layer) => {
      const assigned = roles.get(layer);
      const isHead =
        assigned === undefined && layer.role === 'other' && reachesOutput(view, layer.output);
      const role = assigned ?? (isHead ? 'head' : layer.role);
      return [layer, { ...layer, role, block: blockOf.get(layer) }];
    }),
  );
}

/** Says whether a value is a graph output, through Casts, reshapes and a soft cap. */
function reachesOutput(view: GraphView, value: string, depth = 8): boolean {
  if (view.isOutput(value)) return true;
  if (depth === 0) return false;
  return view.uses(value).some(({ node, inputIndex }) => {
    const cap = isOp(node, 'Tanh', 'Mul', 'Div', 'Softmax', 'LogSoftmax');
    const through = inputIndex === 0 && (isMoving(node) || isTransparent(node) || cap);
    return through && reachesOutput(view, node.outputs[0] ?? '', depth - 1);
  });
}

function finishBlock(
  match: Found,
  index: number,
  finished: ReadonlyMap<LinearLayer, LinearLayer>,
): Block {
  const linears = [...match.roles.keys()].map((layer) => finished.get(layer) ?? layer);
  const name = sharedPath(linears.map((layer) => layer.name)) ?? `${match.block.kind}.${index}`;
  return { ...match.block, index, name, linears };
}

/** `a.0.attn.q`, `a.0.attn.o` -> `a.0.attn`; undefined when the names share no module with a number. */
function sharedPath(names: readonly string[]): string | undefined {
  const [first = [], ...rest] = names.map((name) => name.split('.'));
  let length = 0;
  while (length < first.length && rest.every((path) => path[length] === first[length])) length++;
  const shared = first.slice(0, rest.length === 0 ? -1 : length);
  return shared.some((part) => /^\d+$/.test(part)) ? shared.join('.') : undefined;
}
