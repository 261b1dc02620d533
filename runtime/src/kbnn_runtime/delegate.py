"""The delegate: the path of its shared library, and loading it into a LiteRT interpreter."""

import pathlib
import sys
from typing import Any

from kbnn_runtime.litert import load_external_delegate

KERNELS = ("auto", "portable", "avx2", "avx512", "avx512_vpopcntdq", "neon")
# Must equal kMaxThreads in native/thread_pool.h.
_MAX_THREADS = 128
_FILES = {"win32": "kbnn_delegate.dll", "darwin": "libkbnn_delegate.dylib"}


def library_path() -> pathlib.Path:
    """Return the path of the shared library, for interpreters in C++ or Java.

    The library exports TFLite's interface of external delegates, `tflite_plugin_create_delegate`
    and `tflite_plugin_destroy_delegate`, and needs only system libraries.

    Raises:
        FileNotFoundError: The installed package lacks the library.
    """
    path = pathlib.Path(__file__).with_name(_FILES.get(sys.platform, "libkbnn_delegate.so"))
    if not path.is_file():
        raise FileNotFoundError(
            f"Expected the delegate at {path}, which does not exist. Reinstall kbnn-runtime."
        )
    return path


def load_delegate(*, num_threads: int = 1, kernels: str = "auto", fusion: bool = True) -> Any:
    """Load the delegate that runs LCE's operators, for use with LiteRT's own interpreter.

    ```python
    from ai_edge_litert.interpreter import Interpreter
    interpreter = Interpreter("model.tflite", experimental_delegates=[load_delegate()])
    ```

    Args:
        num_threads: How many threads LCE's operators use, 1 to 128. LiteRT's own operators use
            the number that its interpreter is given.
        kernels: "auto" selects the fastest kernels that the processor can run. For tests and
            comparisons, "portable", "avx2", "avx512", "avx512_vpopcntdq" or "neon".
        fusion: Compute a binary convolution together with the `ADD` of a residual and the
            `LceQuantize` after it. Outputs are bit-identical, but the tensors between these
            operators hold nothing. Set it to False for models whose inputs you resize so that
            `ADD` has to broadcast the residual; with fusion these raise an error at run time.

    Returns:
        A LiteRT `Delegate`, for one interpreter.

    Raises:
        TypeError: `num_threads` is not an integer, or `fusion` is not a bool.
        ValueError: `num_threads` is out of range, `kernels` is unknown, or the processor cannot
            run them.
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
    """Return the names of the kernels that this processor can run, without "auto"."""
    return tuple(kernels for kernels in KERNELS if kernels != "auto" and _can_run(kernels))


def check_num_threads(num_threads: int) -> None:
    """Raise a TypeError or ValueError unless the delegate accepts this number of threads."""
    if not isinstance(num_threads, int) or isinstance(num_threads, bool):
        raise TypeError(
            f"Expected num_threads to be an integer. Received: num_threads={num_threads!r}"
        )
    if not 1 <= num_threads <= _MAX_THREADS:
        raise ValueError(
            f"Expected num_threads to be from 1 to {_MAX_THREADS}. "
            f"Received: num_threads={num_threads}"
        )


def _can_run(kernels: str) -> bool:
    try:
        load_delegate(kernels=kernels)
    except ValueError:
        return False
    return True
