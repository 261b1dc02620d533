"""The delegate under test, and interpreters that use it."""

import functools
import os
import pathlib

import numpy as np
from ai_edge_litert.interpreter import Interpreter, load_delegate

KERNELS = ("portable", "avx2", "avx512", "avx512_vpopcntdq", "neon")


def library() -> str:
    """Return the path of the library: KBNN_DELEGATE, or the installed package's."""
    if "KBNN_DELEGATE" in os.environ:
        return str(pathlib.Path(os.environ["KBNN_DELEGATE"]).resolve(strict=True))
    import kbnn_runtime

    return str(kbnn_runtime.library_path())


@functools.cache
def available_kernels() -> tuple[str, ...]:
    """Return the kernel sets that this processor can run."""
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
    """Make an interpreter that runs the model with the delegate."""
    options = {"kernels": kernels, "num_threads": str(num_threads), "fusion": fusion}
    delegate = load_delegate(library(), options)
    return Interpreter(model_content=model, experimental_delegates=[delegate])


def run(model: bytes, *inputs: np.ndarray, **options) -> np.ndarray:
    """Resize the model to these inputs, and return its output."""
    network = interpreter(model, **options)
    for details, value in zip(network.get_input_details(), inputs, strict=True):
        network.resize_tensor_input(details["index"], value.shape)
    network.allocate_tensors()
    for details, value in zip(network.get_input_details(), inputs, strict=True):
        network.set_tensor(details["index"], value)
    network.invoke()
    return network.get_tensor(network.get_output_details()[0]["index"])
