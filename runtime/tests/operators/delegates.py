"""The library under test, and interpreters that use it."""

import functools
import os
import pathlib

import numpy as np
from ai_edge_litert.interpreter import Interpreter, load_delegate

KERNELS = ("portable", "avx2", "avx512", "avx512_vpopcntdq", "neon")


def library() -> str:
    """The library of the installed package, or that of KBNN_DELEGATE."""
    if "KBNN_DELEGATE" in os.environ:
        return str(pathlib.Path(os.environ["KBNN_DELEGATE"]).resolve(strict=True))
    import kbnn_runtime

    return str(kbnn_runtime.library_path())


@functools.cache
def available_kernels() -> tuple[str, ...]:
    """The kernel sets that this processor runs."""
    found = []
    for name in KERNELS:
        try:
            load_delegate(library(), {"kernels": name})
        except ValueError:
            continue
        found.append(name)
    return tuple(found)


def interpreter(
    model: bytes, *, kernels: str = "auto", num_threads: int = 1, fusion: str = "on"
) -> Interpreter:
    """An interpreter of the model whose LCE operators are the delegate's."""
    options = {"kernels": kernels, "num_threads": str(num_threads), "fusion": fusion}
    delegate = load_delegate(library(), options)
    return Interpreter(model_content=model, experimental_delegates=[delegate])


def run(model: bytes, *inputs: np.ndarray, **options) -> np.ndarray:
    """The model's output for these inputs, whose shapes replace those of the file."""
    network = interpreter(model, **options)
    for details, value in zip(network.get_input_details(), inputs, strict=True):
        network.resize_tensor_input(details["index"], value.shape)
    network.allocate_tensors()
    for details, value in zip(network.get_input_details(), inputs, strict=True):
        network.set_tensor(details["index"], value)
    network.invoke()
    return network.get_tensor(network.get_output_details()[0]["index"])
