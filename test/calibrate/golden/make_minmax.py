"""Writes minmax.json: ranges of linear inputs as onnxruntime's own MinMax calibrator finds them, and the
scales its quantizer makes of them. Run in the repository root after `npm run build`, with the Python
packages onnxruntime == 1.30.0 and onnx, whenever the fixtures change:

    python test/calibrate/golden/make_minmax.py
"""

import json
import pathlib
import struct
import subprocess
import tempfile

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization.calibrate import CalibrationDataReader, MinMaxCalibrater
from onnxruntime.quantization.quant_utils import compute_scale_zp

CASES = [
    ("fixtures/glm-nano/optimum/model.onnx", "calibration/text", 4),
    ("fixtures/glm-nano/torchscript/model.onnx", "calibration/text", 4),
    ("fixtures/vit-fashion/optimum/model.onnx", "calibration/fashion-mnist", 16),
    ("fixtures/vit-fashion/dynamo-opset18/model.onnx", "calibration/fashion-mnist", 16),
]
HERE = pathlib.Path(__file__).parent


def bits(value):
    """Bit pattern of a float32, as hexadecimal: JSON must not round it."""
    return struct.pack(">f", float(np.asarray(value).item())).hex()


class Reader(CalibrationDataReader):
    def __init__(self, folder, feeds):
        self.feeds = iter(
            {
                entry["name"]: np.fromfile(folder / entry["file"], entry["dataType"]).reshape(entry["dims"])
                for entry in sample
            }
            for sample in feeds
        )

    def get_next(self):
        return next(self.feeds, None)


def run_case(model, data, samples):
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        subprocess.run(
            ["node", HERE / "write-twin.js", model, data, str(samples), folder], check=True
        )
        head = json.loads((folder / "twin.json").read_text())
        calibrater = MinMaxCalibrater(
            folder / "twin.onnx",
            op_types_to_calibrate=["MatMul", "Gemm", "Conv"],
            augmented_model_path=str(folder / "augmented.onnx"),
        )
        calibrater.augment_graph()
        calibrater.create_inference_session()
        calibrater.collect_data(Reader(folder, head["feeds"]))
        found = calibrater.compute_data()
        ranges = {}
        for name in head["values"]:
            low, high = (np.float32(np.asarray(value).item()) for value in found[name].range_value)
            unsigned = compute_scale_zp(low, high, np.uint8(0), np.uint8(255), symmetric=False)
            signed = compute_scale_zp(low, high, np.int8(-127), np.int8(127), symmetric=True)
            ranges[name] = {
                "min": bits(low),
                "max": bits(high),
                "uint8": {"zeroPoint": int(unsigned[0]), "scale": bits(unsigned[1])},
                "int8Symmetric": {"zeroPoint": int(signed[0]), "scale": bits(signed[1])},
            }
        return {
            "model": model,
            "data": data,
            "samples": samples,
            "modelSha256": head["modelSha256"],
            "dataSha256": head["dataSha256"],
            "ranges": ranges,
        }


if __name__ == "__main__":
    golden = {
        "onnxruntime": onnxruntime.__version__,
        "onnx": onnx.__version__,
        "cases": [run_case(*case) for case in CASES],
    }
    (HERE / "minmax.json").write_text(json.dumps(golden, indent=2) + "\n")
    print({case["model"]: len(case["ranges"]) for case in golden["cases"]})
