"""Loads Core ML packages with coremltools, rebuilds the typed program, validates and exports it again.

Prints one JSON object: package -> {"ops": [...], "same_ops": bool, "same_weights": bool} or {"error": text}.
"""
import json
import os
import shutil
import sys
import tempfile

import coremltools as ct
from coremltools.converters.mil.backend.mil.load import MILProtoExporter
from coremltools.converters.mil.frontend.milproto.load import load as load_program


def operations(spec):
    function = spec.mlProgram.functions["main"]
    block = function.block_specializations[function.opset]
    return [op.type for op in block.operations]


def judge(path):
    model = ct.models.MLModel(path, skip_model_load=True)
    spec = model.get_spec()
    program = load_program(
        spec,
        specification_version=spec.specificationVersion,
        file_weights_dir=os.path.join(path, "Data", "com.apple.CoreML", "weights"),
    )
    program.validate()
    folder = tempfile.mkdtemp()
    try:
        exported = MILProtoExporter(program, folder, spec.specificationVersion).export()
        function = exported.functions["main"]
        again = [op.type for op in function.block_specializations[function.opset].operations]
        with open(os.path.join(folder, "weight.bin"), "rb") as file:
            written = file.read()
    finally:
        shutil.rmtree(folder)
    with open(os.path.join(path, "Data", "com.apple.CoreML", "weights", "weight.bin"), "rb") as file:
        ours = file.read()
    ops = operations(spec)
    return {"ops": ops, "same_ops": ops == again, "same_weights": ours == written}


def main():
    results = {}
    for path in sys.argv[1:]:
        try:
            results[path] = judge(path)
        except Exception as error:  # the test wants to see which package was refused, and why
            results[path] = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(results))


main()
