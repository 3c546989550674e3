import type { LoadOptions } from '../../runners/runner.ts';

/**
 * What onnxruntime 1.30 does to a graph at level `basic`, all but ConstantFolding: rules and fusions
 * after which some values are computed in another order.
 */
const REWRITERS: readonly string[] = [
  'BiasDropoutFusion',
  'CastChainElimination',
  'CastElimination',
  'ClipQuantRewriter',
  'CommonSubexpressionElimination',
  'ConstantSharing',
  'ConvAddFusion',
  'ConvBNFusion',
  'ConvMulFusion',
  'DivMulFusion',
  'DoubleQDQPairsRemover',
  'EliminateDropout',
  'EliminateIdentity',
  'EliminateSlice',
  'EnsureUniqueDQForNodeUnit',
  'ExpandElimination',
  'FuseFp16InitializerToFp32NodeTransformer',
  'FuseReluClip',
  'GatherSliceToSplitFusion',
  'GatherToSliceFusion',
  'GeluFusionL1',
  'GemmSumFusion',
  'GemmTransposeFusion',
  'LabelEncoderFusion',
  'LayerNormFusionL1',
  'Level1_RuleBasedTransformer',
  'MatMulAddFusion',
  'MatMul_BatchNormalization_Fusion',
  'MatmulTransposeFusion',
  'NoopElimination',
  'NotWhereFusion',
  'Pad_Fusion',
  'PreShapeNodeElimination',
  'PropagateCastOps',
  'QDQPropagationTransformer',
  'ReshapeFusion',
  'SimplifiedLayerNormFusionL1',
  'TransposeOptimizer',
  'UnsqueezeElimination',
  'WhereDummyDq',
];

/**
 * Returns the session options under which statistics are collected. Graph optimisation is off, so that the
 * figures are those of the graph as written; weights stay mapped from their file instead of being
 * packed on the heap. A part runs many times over few weights: there float16 weights are widened
 * once, when it is opened, which changes no bit.
 */
export function observerSession(threads: number | undefined, isPart: boolean): LoadOptions {
  return {
    device: 'cpu',
    optimization: isPart ? 'basic' : 'disabled',
    config: {
      'session.disable_prepacking': '1',
      ...(isPart && { 'optimization.disable_specified_optimizers': REWRITERS.join(';') }),
    },
    ...(threads !== undefined && { threads }),
  };
}
