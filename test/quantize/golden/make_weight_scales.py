"""Writes weight-scales.json: what onnxruntime's quantize_static makes of the weights of two fixtures,
per output channel, symmetric INT8. Run in the repository root after `npm run build`, with the Python
packages onnxruntime == 1.30.0 and onnx, whenever the fixtures change:

    python test/quantize/golden/make_weight_scales.py
"""

import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper
from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

HERE = pathlib.Path(__file__).parent
CALIBRATE = HERE.parent.parent / "calibrate" / "golden"
sys.path.insert(0, str(CALIBRATE))
from make_minmax import Reader  # noqa: E402

CASES = [
    ("fixtures/glm-nano/torchscript/model.onnx", "calibration/text"),
    ("fixtures/vit-fashion/optimum/model.onnx", "calibration/fashion-mnist"),
]


def widen_weights(model):
    """Turns FP16 initializers behind a Cast into FP32 ones: the quantizer looks at initializers only."""
    initializers = {entry.name: entry for entry in model.graph.initializer}
    kept = []
    for node in model.graph.node:
        source = initializers.get(node.input[0]) if node.op_type == "Cast" else None
        if source is None:
            kept.append(node)
            continue
        wide = numpy_helper.to_array(source).astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(wide, node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


def sha256(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def run_case(model, data):
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        subprocess.run(["node", CALIBRATE / "write-twin.js", model, data, "1", folder], check=True)
        head = json.loads((folder / "twin.json").read_text())
        wide = folder / "wide.onnx"
        onnx.save(widen_weights(onnx.load(folder / "twin.onnx")), wide)
        quantize_static(
            wide,
            folder / "int8.onnx",
            Reader(folder, head["feeds"]),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        quantized = onnx.load(folder / "int8.onnx").graph
        constants = {entry.name: entry for entry in quantized.initializer}
        producers = {output: node for node in quantized.node for output in node.output}
        weights = {}
        for node in quantized.node:
            if node.op_type != "MatMul":
                continue
            dequantize = producers.get(node.input[1])
            if dequantize is None or dequantize.input[0] not in constants:
                continue
            integers, scale = (numpy_helper.to_array(constants[name]) for name in dequantize.input[:2])
            weights[node.name] = {"weight": sha256(integers), "scale": sha256(scale)}
        return {"model": model, "modelSha256": head["modelSha256"], "weights": weights}


cases = [run_case(*case) for case in CASES]
golden = {"onnxruntime": onnxruntime.__version__, "cases": cases}
(HERE / "weight-scales.json").write_text(json.dumps(golden, indent=1) + "\n")
