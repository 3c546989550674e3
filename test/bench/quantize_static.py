"""Times onnxruntime's own quantize_static (minmax, per channel) on the float32 twin of a model and the
calibration samples that autoglm takes. Run in the repository root after `npm run build`, with the Python
packages onnxruntime and onnx:

    python test/bench/quantize_static.py MODEL.onnx DATA SAMPLES
"""

import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnx
from onnx import numpy_helper

ROOT = pathlib.Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "calibrate" / "golden"))
from make_minmax import Reader  # noqa: E402


def prepare(model, data, samples, folder):
    """Writes twin.json, the feeds and wide.onnx: FP16 weights behind a Cast become FP32 initializers."""
    twin = ROOT / "calibrate" / "golden" / "write-twin.js"
    subprocess.run(["node", twin, model, data, samples, folder], check=True)
    loaded = onnx.load(pathlib.Path(folder) / "twin.onnx")
    graph = loaded.graph
    constants = {entry.name: entry for entry in graph.initializer}
    kept = []
    for node in graph.node:
        source = constants.get(node.input[0]) if node.op_type == "Cast" else None
        if source is None:
            kept.append(node)
            continue
        wide = numpy_helper.to_array(source).astype(np.float32)
        graph.initializer.append(numpy_helper.from_array(wide, node.output[0]))
    read = {name for node in kept for name in node.input}
    constants = [entry for entry in graph.initializer if entry.name in read]
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(constants)
    graph.node.extend(kept)
    # protobuf ends at 2 GiB.
    is_large = sum(len(entry.raw_data) for entry in constants) > 2**30
    onnx.save(loaded, pathlib.Path(folder) / "wide.onnx", save_as_external_data=is_large)


def quantize(folder):
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    folder = pathlib.Path(folder)
    feeds = json.loads((folder / "twin.json").read_text())["feeds"]
    start = time.time()
    quantize_static(
        folder / "wide.onnx",
        folder / "int8.onnx",
        Reader(folder, feeds),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["MatMul"],
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        use_external_data_format=(folder / "wide.onnx").stat().st_size < 2**26,
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"quantize_static: {time.time() - start:.1f} s, peak {peak:.0f} MB")


if __name__ == "__main__":
    if sys.argv[1] == "--in":
        quantize(sys.argv[2])
    else:
        # Prepared and measured in processes of their own, so that one does not count for the other.
        with tempfile.TemporaryDirectory() as temporary:
            prepare(*sys.argv[1:4], temporary)
            subprocess.run([sys.executable, __file__, "--in", temporary], check=True)
