"""The shared library: where it is, and loading it into an interpreter of LiteRT's own."""

import pathlib
import sys
from typing import Any

from kbnn_runtime.litert import load_external_delegate

KERNELS = ("auto", "portable", "avx2", "avx512", "avx512_vpopcntdq", "neon")
# Must equal kMaxThreads in native/thread_pool.h.
_MAX_THREADS = 128
_FILES = {"win32": "kbnn_delegate.dll", "darwin": "libkbnn_delegate.dylib"}


def library_path() -> pathlib.Path:
    """The path of the shared library, for interpreters in C++ or Java.

    It exports `tflite_plugin_create_delegate` and `tflite_plugin_destroy_delegate`, the interface
    of TFLite's external delegates, and needs no other library than those of the system.

    Raises:
        FileNotFoundError: The package was installed without it.
    """
    path = pathlib.Path(__file__).with_name(_FILES.get(sys.platform, "libkbnn_delegate.so"))
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected the delegate at {path}. Received no such file: reinstall kbnn-runtime."
        )
    return path


def load_delegate(*, num_threads: int = 1, kernels: str = "auto", fusion: bool = True) -> Any:
    """The delegate that runs LCE's operators, for those who use LiteRT's interpreter directly.

    ```python
    from ai_edge_litert.interpreter import Interpreter
    interpreter = Interpreter("model.tflite", experimental_delegates=[load_delegate()])
    ```

    Args:
        num_threads: Threads that a binary convolution uses, 1 to 128; those of LiteRT's own
            operators are set in its interpreter.
        kernels: "auto", the fastest that the processor runs, or one of "portable", "avx2",
            "avx512", "avx512_vpopcntdq" and "neon", for tests and comparisons.
        fusion: Compute a binary convolution together with the `ADD` of a residual and the
            `LceQuantize` behind it. Outputs are the same, and what lies between these operators is
            in no tensor. A residual of another shape than the convolution's output, which `ADD`
            would repeat, is refused at run time where the file does not show it.

    Returns:
        A `Delegate` of LiteRT, for one interpreter.

    Raises:
        TypeError: `num_threads` is not an integer, or `fusion` not a bool.
        ValueError: `num_threads` or `kernels` is not one of those, or the processor does not run
            the kernels.
    """
    check_num_threads(num_threads)
    if kernels not in KERNELS:
        raise ValueError(f"Expected kernels to be one of {KERNELS}. Received: kernels={kernels!r}")
    if not isinstance(fusion, bool):
        raise TypeError(f"Expected fusion to be True or False. Received: fusion={fusion!r}")
    options = {
        "num_threads": str(num_threads),
        "kernels": kernels,
        "fusion": "on" if fusion else "off",
    }
    return load_external_delegate(str(library_path()), options)


def available_kernels() -> tuple[str, ...]:
    """The kernels that this processor runs, a subset of those of `load_delegate` without "auto"."""
    return tuple(kernels for kernels in KERNELS if kernels != "auto" and _loads(kernels))


def check_num_threads(num_threads: int) -> None:
    if not isinstance(num_threads, int) or isinstance(num_threads, bool):
        raise TypeError(
            f"Expected num_threads to be an integer. Received: num_threads={num_threads!r}"
        )
    if not 1 <= num_threads <= _MAX_THREADS:
        raise ValueError(
            f"Expected num_threads to be from 1 to {_MAX_THREADS}. "
            f"Received: num_threads={num_threads}"
        )


def _loads(kernels: str) -> bool:
    try:
        load_delegate(kernels=kernels)
    except ValueError:
        return False
    return True
