"""Makes ../numerics/golden/int4.json: weights in blocks of 4 bits by onnxruntime's own quantizer.

    python golden-int4.py        (then `npx biome check --write test`)

Needs onnxruntime 1.30.0 and numpy. Run again only to add cases; the values are onnxruntime's, not ours.
"""

import base64
import json
import os

import numpy as np
from onnxruntime.capi._pybind_state import quantize_matmul_4bits

random = np.random.default_rng(20261122)


def text(array):
    return base64.b64encode(array.tobytes()).decode()


def case(k, n, block_size, symmetric):
    weights = random.standard_normal((k, n)).astype(np.float32) ** 3
    weights[:, 0] = np.abs(weights[:, 0])
    blocks = -(-k // block_size)
    packed = np.zeros((n, blocks, block_size // 2), np.uint8)
    scales = np.zeros(n * blocks, np.float32)
    zero_points = np.zeros(n * -(-blocks // 2), np.uint8)
    quantize_matmul_4bits(packed, weights, scales, zero_points, block_size, n, k, symmetric)
    return {
        "k": k,
        "n": n,
        "blockSize": block_size,
        "symmetric": symmetric,
        "weights": text(np.ascontiguousarray(weights.T)),
        "packed": text(packed),
        "scales": text(scales),
        **({} if symmetric else {"zeroPoints": text(zero_points)}),
    }


cases = [
    case(k, 3, block_size, symmetric)
    for k, block_size in [(128, 32), (150, 64), (256, 128)]
    for symmetric in [True, False]
]
path = os.path.join(os.path.dirname(__file__), "..", "numerics", "golden", "int4.json")
with open(path, "w") as file:
    json.dump(cases, file, indent=2)
    file.write("\n")
