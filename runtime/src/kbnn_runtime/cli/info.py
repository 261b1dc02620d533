"""`kbnn-run info`: the content of a file, and the software that runs it."""

import argparse
import collections
import json
from importlib import metadata

from kbnn_runtime._version import __version__
from kbnn_runtime.batch import shape_text
from kbnn_runtime.cli.errors import InputError
from kbnn_runtime.cli.options import open_model
from kbnn_runtime.delegate import available_kernels, library_path
from kbnn_runtime.graph import operators
from kbnn_runtime.litert import PACKAGE
from kbnn_runtime.tensor import Tensor

HELP = "Show a model's inputs, outputs and operators, and the software that runs it."


def add_options(parser: argparse.ArgumentParser) -> None:
    # The options that `open_model` reads, set to open the model as cheaply as possible.
    parser.set_defaults(threads=1, kernels="auto")


def run(given: argparse.Namespace) -> None:
    interpreter = open_model(given)
    content = interpreter.content
    try:
        counts = collections.Counter(entry.type for entry in operators(content))
    except ValueError as error:
        raise InputError(f"{error} ({given.model})") from error
    sidecar = interpreter.sidecar
    kernels = available_kernels()
    document = {
        "model": given.model,
        "bytes": len(content),
        "inputs": [tensor.to_dict() for tensor in interpreter.inputs],
        "outputs": [tensor.to_dict() for tensor in interpreter.outputs],
        "operators": dict(counts.most_common()),
        "labels": list(sidecar.labels) if sidecar and sidecar.labels else None,
        "runtime": {
            "kbnn-runtime": __version__,
            PACKAGE: metadata.version(PACKAGE),
            "library": str(library_path()),
            "kernels": list(kernels),
        },
    }
    if given.json:
        print(json.dumps(document, indent=2))
        return
    print(f"{given.model}: {len(content):,} bytes")
    for kind, tensors in (("input", interpreter.inputs), ("output", interpreter.outputs)):
        for tensor in tensors:
            print(f"{kind:<9} {_format(tensor)}")
    print("operators " + ", ".join(f"{count} {name}" for name, count in counts.most_common()))
    if sidecar is not None:
        print(f"sidecar   {len(sidecar.labels)} labels" if sidecar.labels else "sidecar   yes")
    print(
        f"runtime   kbnn-runtime {__version__}, {PACKAGE} {metadata.version(PACKAGE)}, "
        f"kernels: {', '.join(kernels)}"
    )


def _format(tensor: Tensor) -> str:
    quantization = ""
    if tensor.scale is not None:
        quantization = f", real = {tensor.scale:g} * (stored - {tensor.zero_point})"
    return f"{tensor.name}: {tensor.dtype.name} {shape_text(tensor.shape)}{quantization}"
