"""Compares models read by the onnx package: compare.py ORIGINALS COPIES prints one JSON object,
file name -> first difference (or the error that reading the copy gave), only for files that differ.

Equal means: the same messages, where a tensor's elements may stand in a typed field or in raw_data, an absent
field equals its default, and the order of nodes may be another topological one.
"""

import json
import pathlib
import sys

import onnx
from google.protobuf.message import Message
from onnx import TensorProto, numpy_helper

PAYLOADS = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data")


def tensor_bytes(tensor):
    if tensor.data_type == TensorProto.STRING:
        return None
    array = numpy_helper.to_array(tensor)
    return [str(array.dtype), list(array.shape), array.tobytes().hex()]


def plain(message):
    """The message as nested lists and dicts without default values."""
    result = {}
    for field, value in message.ListFields():
        if isinstance(message, TensorProto) and field.name in PAYLOADS:
            continue
        many = not isinstance(value, (Message, str, bytes, int, float))
        values = [plain(item) if isinstance(item, Message) else item for item in value] if many else None
        if many:
            result[field.name] = values
        elif isinstance(value, Message):
            result[field.name] = plain(value)
        elif value not in ("", b"", 0) or field.name in ("dim_value", "type"):
            result[field.name] = repr(value)
    if isinstance(message, TensorProto):
        result["elements"] = tensor_bytes(message)
    if isinstance(message, onnx.GraphProto) and "node" in result:
        result["node"] = sorted(result["node"], key=lambda node: str(node.get("output")))
    return result


def difference(a, b, path):
    if type(a) is not type(b):
        return f"{path}: {str(a)[:200]} / {str(b)[:200]}"
    if isinstance(a, dict):
        for key in sorted(set(a) | set(b)):
            found = difference(a.get(key), b.get(key), f"{path}.{key}")
            if found:
                return found
        return None
    if isinstance(a, list):
        if len(a) != len(b):
            return f"{path}: {len(a)} / {len(b)} entries"
        for index, pair in enumerate(zip(a, b)):
            found = difference(*pair, f"{path}[{index}]")
            if found:
                return found
        return None
    return None if repr(a) == repr(b) else f"{path}: {str(a)[:200]} / {str(b)[:200]}"


originals, copies = map(pathlib.Path, sys.argv[1:])
differences = {}
for copy in sorted(copies.rglob("*.onnx")):
    name = copy.relative_to(copies).as_posix()
    try:
        found = difference(plain(onnx.load(originals / name)), plain(onnx.load(copy)), "model")
    except Exception as error:  # every reason belongs into the report
        found = f"{type(error).__name__}: {error}"
    if found:
        differences[name] = found
print(json.dumps(differences, indent=1))
