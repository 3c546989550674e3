"""Makes the golden files of numerics and calibrate: scales, integers and tables by onnxruntime.

    python golden-affine.py        (writes below ../, then `npx biome check --write test`)

Needs onnxruntime 1.30.0, onnx, numpy and flatbuffers. Run again only to add cases; the values are
onnxruntime's, not ours.
"""

import json
import os
import tempfile

import numpy as np
import onnxruntime
from onnx import TensorProto, helper
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData
from onnxruntime.quantization.quant_utils import (
    compute_scale_zp,
    get_qmin_qmax_for_qType,
    write_calibration_table,
)

TYPES = {
    "int8": QuantType.QInt8,
    "uint8": QuantType.QUInt8,
    "int16": QuantType.QInt16,
    "uint16": QuantType.QUInt16,
}
random = np.random.default_rng(20261122)


def ranges():
    fixed = [(-3, 5), (0, 0), (0, 6), (-4, 0), (2, 9), (-9, -2), (-1e-30, 1e-30), (-1e-38, 1e-39)]
    fixed += [(-1e38, 1e38), (-0.1, 0.3), (-65504, 65504), (0, 5e-37), (-127, 127), (-1, 1)]
    scales = 10.0 ** random.uniform(-6, 4, 40)
    drawn = [sorted(random.standard_normal(2) * scale) for scale in scales]
    return [tuple(np.float32(value) for value in pair) for pair in fixed + drawn]


def affine_cases():
    cases = []
    for low, high in ranges():
        for name, quant_type in TYPES.items():
            for symmetric in (False, True):
                for reduce_range in (False, True):
                    qmin, qmax = get_qmin_qmax_for_qType(
                        quant_type.tensor_type, reduce_range=reduce_range, symmetric=symmetric
                    )
                    zero_point, scale = compute_scale_zp(
                        np.array(low), np.array(high), qmin, qmax, symmetric
                    )
                    cases.append(
                        [float(low), float(high), name, symmetric, reduce_range, float(scale), int(zero_point)]
                    )
    return cases


def quantize(values, scale, zero_point, axis=None):
    """The runtime's own QuantizeLinear."""
    element = helper.np_dtype_to_tensor_dtype(zero_point.dtype)
    attributes = {} if axis is None else {"axis": axis}
    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"], **attributes)
    graph = helper.make_graph(
        [node],
        "g",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, values.shape),
            helper.make_tensor_value_info("s", TensorProto.FLOAT, scale.shape),
            helper.make_tensor_value_info("z", element, zero_point.shape),
        ],
        [helper.make_tensor_value_info("y", element, values.shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": values, "s": scale, "z": zero_point})[0]


def quantize_cases():
    cases = []
    for dtype, zero in ((np.int8, -32), (np.uint8, 96), (np.int8, 0)):
        values = (random.standard_normal(120) * 2).astype(np.float32)
        values[:40] = (np.arange(40) - 20 + 0.5).astype(np.float32) * np.float32(0.0625)
        for scale in (np.float32(0.0625), np.float32(0.03137255), np.float32(0.0301)):
            integers = quantize(values, np.array(scale), np.array(zero, dtype))
            cases.append(
                {
                    "dataType": np.dtype(dtype).name,
                    "scale": float(scale),
                    "zeroPoint": zero,
                    "values": [float(value) for value in values],
                    "integers": integers.tolist(),
                }
            )
    return cases


def table():
    values = {"x": (0.0, 1.0), "y": (0.0, 2.0), "/model/layers.0/q_proj": (0.0, 0.1), "été": (0, 3e-7)}
    data = {
        name: TensorData(lowest=np.float32(low), highest=np.float32(high))
        for name, (low, high) in values.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        write_calibration_table(TensorsData(CalibrationMethod.MinMax, data).data, folder)
        with open(os.path.join(folder, "calibration.flatbuffers"), "rb") as file:
            content = file.read()
    return {
        "ranges": {n: [float(np.float32(low)), float(np.float32(high))] for n, (low, high) in values.items()},
        "hex": content.hex(),
    }


def write(folder, name, value):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        if isinstance(value, list):
            file.write("[\n" + ",\n".join(json.dumps(item) for item in value) + "\n]\n")
        else:
            json.dump(value, file, indent=1, ensure_ascii=False)
            file.write("\n")


if __name__ == "__main__":
    here = os.path.dirname(os.path.abspath(__file__))
    numerics = os.path.join(here, "../numerics/golden")
    write(numerics, "affine.json", affine_cases())
    write(numerics, "quantize.json", quantize_cases())
    write(os.path.join(here, "../calibrate/tables/golden"), "onnxruntime-table.json", table())
