"""Writes the models of the official ONNX backend suite into a folder: collect.py FOLDER."""

import pathlib
import shutil
import sys
import warnings

import onnx
import onnx.backend.test.case.node

warnings.simplefilter("ignore")
folder = pathlib.Path(sys.argv[1])

node_folder = folder / "node"
node_folder.mkdir(parents=True, exist_ok=True)
for case in onnx.backend.test.case.node.collect_testcases(None):
    (node_folder / f"{case.name}.onnx").write_bytes(case.model.SerializeToString())

data = pathlib.Path(onnx.__file__).parent / "backend" / "test" / "data"
for path in sorted(data.rglob("*.onnx")):
    name = "-".join(path.relative_to(data).with_suffix("").parts)
    shutil.copyfile(path, folder / f"{name}.onnx")
