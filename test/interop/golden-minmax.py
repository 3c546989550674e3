"""What onnxruntime's own quantizer makes of a model, as JSON: the reference for minmax scales.

    python golden-minmax.py model.onnx feeds.npz golden.json

`model.onnx` is the float32 form of the model; `feeds.npz` holds an array per graph input, the first
axis being the sample. Needs onnxruntime 1.30.0, onnx and numpy.

The JSON holds, for each float activation, `min` and `max` by MinMax calibration and scale and zero
point for int8 (symmetric and not) and uint8; and for each constant weight of MatMul and Gemm the
symmetric int8 scale of every output channel. Numbers are float64 texts of exact values.
"""

import json
import os
import sys

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import create_calibrator
from onnxruntime.quantization.quant_utils import compute_scale_zp, get_qmin_qmax_for_qType

SCHEMES = {
    "int8Symmetric": (QuantType.QInt8, True),
    "int8": (QuantType.QInt8, False),
    "uint8": (QuantType.QUInt8, False),
}


class Feeds(CalibrationDataReader):
    """One sample at a time, each keeping a batch axis of 1."""

    def __init__(self, path):
        arrays = np.load(path)
        count = len(arrays[arrays.files[0]])
        self.samples = iter(
            [{name: arrays[name][i : i + 1] for name in arrays.files} for i in range(count)]
        )

    def get_next(self):
        return next(self.samples, None)


def parameters(low, high, scheme):
    quant_type, symmetric = SCHEMES[scheme]
    qmin, qmax = get_qmin_qmax_for_qType(quant_type.tensor_type, symmetric=symmetric)
    zero_point, scale = compute_scale_zp(low, high, qmin, qmax, symmetric)
    return {"scale": float(scale), "zeroPoint": int(zero_point)}


def scalar(value):
    return np.array(value, dtype=np.float32).reshape(-1)[0:1].reshape(())


def calibrate(model_path, feeds_path, scratch):
    calibrator = create_calibrator(
        model_path, [], augmented_model_path=scratch, calibrate_method=CalibrationMethod.MinMax
    )
    calibrator.collect_data(Feeds(feeds_path))
    os.remove(scratch)
    result = {}
    for name, data in calibrator.compute_data().items():
        low, high = (scalar(value) for value in data.range_value)
        result[name] = {"min": float(low), "max": float(high)}
        for scheme in SCHEMES:
            result[name][scheme] = parameters(low, high, scheme)
    return result


def weights(model_path):
    graph = onnx.load(model_path).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    result = {}
    for node in graph.node:
        if node.op_type not in ("MatMul", "Gemm") or node.input[1] not in constants:
            continue
        array = numpy_helper.to_array(constants[node.input[1]]).astype(np.float32)
        transposed = any(a.name == "transB" and a.i == 1 for a in node.attribute)
        axis = 0 if transposed else array.ndim - 1
        channels = np.moveaxis(array, axis, 0).reshape(array.shape[axis], -1)
        result[node.input[1]] = {
            "axis": axis,
            "scales": [
                parameters(scalar(row.min()), scalar(row.max()), "int8Symmetric")["scale"]
                for row in channels
            ],
        }
    return result


def main(model_path, feeds_path, golden_path):
    scratch = golden_path + ".augmented.onnx"
    golden = {
        "activations": calibrate(model_path, feeds_path, scratch),
        "weights": weights(model_path),
    }
    with open(golden_path, "w", encoding="utf-8") as file:
        json.dump(golden, file, indent=1, sort_keys=True)
        file.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:4])
