/**
 * The recipes of `configs/recipes`, as text, so that they ship inside `dist` and need no disk.
 * A test holds them equal to the files.
 */
export const BUILT_IN_RECIPE_TEXTS: Readonly<Record<string, string>> = {
  w8a16: `# INT8 weights only: 0.56 of the bytes, no calibration data needed. With "granularity: channel" it is
# half, at twice the loss: onnxruntime rounds activations to INT8 by blocks of 32 inside the
# kernel, and weights in the same blocks round much finer than whole channels. Faster than float where
# one token is decoded at a time; prompts and images are slower on x86 without VNNI ("recipe list --help").
name: w8a16
description: >-
  INT8 weights, a scale for 32 input features; activations stay float, so no calibration is needed.
weights: { bits: 8, granularity: block, blockSize: 32, symmetric: true }
activations: { bits: float, dtype: float32 }
embedding: int8
head: weight-only
rules: []
`,
  'w8a8-dynamic': `# INT8 weights, and INT8 activations by their own extremes in every run: one input scale for each
# run instead of calibrated ranges. Calibration data is needed for smoothing alone.
name: w8a8-dynamic
description: >-
  INT8 weights per output channel, INT8 activations scaled in every run, after smoothing
  where it folds.
weights: { bits: 8, granularity: channel, symmetric: true }
activations: { bits: 8, dynamic: true, dtype: float32 }
embedding: int8
head: weight-only
gatedDown: w8a8
smoothing: auto
rules: []
`,
  'w8a8-full': `# INT8 activations in every linear layer, the head and the FFN down projections of gated language models
# included: those two in two planes of 8 bits, since no single one holds their outliers. Prompts run
# fastest by it; where one token is decoded at a time w8a8 is a little faster.
name: w8a8-full
description: >-
  INT8 weights per output channel and INT8 activations in every linear layer, those of head and
  gated down projections in two planes, after smoothing where it folds.
weights: { bits: 8, granularity: channel, symmetric: true }
activations: { bits: 8, symmetric: false, calibrator: auto, dtype: float32 }
embedding: int8
head: w8a8x2
gatedDown: w8a8x2
smoothing: auto
rules: []
`,
  w8a8: `# INT8 weights and INT8 activations for linear layers; everything else stays float.
name: w8a8
description: >-
  INT8 weights per output channel, INT8 activations per tensor; norms, softmax, GELU,
  attention products and residuals stay float.
weights: { bits: 8, granularity: channel, symmetric: true }
activations: { bits: 8, symmetric: false, calibrator: auto, dtype: float32 }
embedding: int8 # one scale per row of the token table
head: weight-only
# The inputs of these layers hold the outliers of gated language models.
gatedDown: weight-only
# Scales that even out the channels of activations, folded into weights; none where nothing folds.
smoothing: auto
# Exceptions: the last rule that matches a layer wins. For example
#   - { role: down, scheme: w8a16 }
#   - { match: 'layers\\.0\\.', scheme: float }
rules: []
`,
  'w4a16-g32': `# 4-bit weights, one scale for 32 input features: 5 bits a weight. Rounded by GPTQ, which needs
# calibration data; "rounding: rtn" needs none and loses several times more.
name: w4a16-g32
description: >-
  4-bit weights in blocks of 32, rounded by GPTQ; activations stay float. Head and token table
  are INT8.
weights: { bits: 4, granularity: block, blockSize: 32, symmetric: true, rounding: gptq }
activations: { bits: float, dtype: float32 }
embedding: int8
head: weight-only
rules: []
`,
  'w4a16-g64': `# 4-bit weights, one scale for 64 input features: 4.5 bits a weight. Rounded by GPTQ, which needs
# calibration data; "rounding: rtn" needs none and loses several times more.
name: w4a16-g64
description: >-
  4-bit weights in blocks of 64, rounded by GPTQ; activations stay float. Head and token table
  are INT8.
weights: { bits: 4, granularity: block, blockSize: 64, symmetric: true, rounding: gptq }
activations: { bits: float, dtype: float32 }
embedding: int8
head: weight-only
rules: []
`,
  'w4a16-g128': `# 4-bit weights, one scale for 128 input features: 4.25 bits a weight. Rounded by GPTQ, which needs
# calibration data; "rounding: rtn" needs none and loses several times more.
name: w4a16-g128
description: >-
  4-bit weights in blocks of 128, rounded by GPTQ; activations stay float. Head and token table
  are INT8.
weights: { bits: 4, granularity: block, blockSize: 128, symmetric: true, rounding: gptq }
activations: { bits: float, dtype: float32 }
embedding: int8
head: weight-only
rules: []
`,
};
