"""What the process does in which an interpreter is timed. engines.py starts it.

It imports only the interpreter that a command names, so that the threads and the memory of other
interpreters do not change its numbers. `python worker.py memory ENGINE FILE THREADS` measures
memory and exits.

A time includes setting the input, the inference, and reading the output.
"""

import ctypes
import json
import os
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

_ALLOCATIONS = "KBNN_ALLOCATION_COUNTER"
_INVOCATIONS = 10


def import_interpreter(engine: str) -> Any:
    """Import the package of an engine and return its interpreter class."""
    if engine.startswith("lce-"):
        from larq_compute_engine.tflite.python.interpreter import Interpreter

        return Interpreter
    from ai_edge_litert.interpreter import Interpreter

    if engine.startswith("kbnn-runtime"):
        import kbnn_runtime  # noqa: F401 - loads it into memory
    return Interpreter


def inference(engine: str, file: str, threads: int) -> Callable[[], None]:
    """Return a function that runs a file once on random numbers.

    Args:
        engine: `kbnn-runtime`, with a kernel set `kbnn-runtime-KERNELS`, without fusion
            `kbnn-runtime-unfused`; `lce-default`, `lce-indirect`, `lce-indirect-xnnpack`; `float`,
            `int8`: LiteRT with XNNPACK.
        file: the model.
        threads: number of threads of the interpreter and the delegate.
    """
    interpreter_class = import_interpreter(engine)
    if engine.startswith("lce-"):
        # The interpreter's `predict` splits batches and shows a progress bar, which costs more than
        # a small layer, so the call below it is used, which runs one image.
        interpreter = interpreter_class(
            pathlib.Path(file).read_bytes(),
            num_threads=threads,
            use_indirect_bgemm=engine != "lce-default",
            use_xnnpack=engine.endswith("-xnnpack"),
        )
        native = interpreter.interpreter
        images = [
            random_image(shape, kind)
            for shape, kind in zip(interpreter.input_shapes, interpreter.input_types, strict=True)
        ]
        return lambda: native.predict(images)
    delegates = []
    if engine.startswith("kbnn-runtime"):
        from kbnn_runtime import load_delegate

        setting = engine.removeprefix("kbnn-runtime").removeprefix("-") or "auto"
        options: dict[str, Any] = (
            {"fusion": False} if setting == "unfused" else {"kernels": setting}
        )
        delegates = [load_delegate(num_threads=threads, **options)]
    litert = interpreter_class(
        model_path=file, num_threads=threads, experimental_delegates=delegates
    )
    litert.allocate_tensors()
    (image,), (output,) = litert.get_input_details(), litert.get_output_details()
    values = random_image(image["shape"], image["dtype"])

    def run() -> None:
        litert.set_tensor(image["index"], values)
        litert.invoke()
        litert.get_tensor(output["index"])

    return run


def random_image(shape: Any, kind: Any) -> np.ndarray:
    """Return random numbers: floats from -1 to 1, or int8 from the whole range."""
    draw = np.random.default_rng(0)
    if np.dtype(kind) == np.int8:
        return draw.integers(-128, 128, tuple(shape), dtype=np.int8)
    return draw.uniform(-1, 1, tuple(shape)).astype(kind)


def profile(file: str, runs: int) -> dict[str, Any]:
    """Return kbnn-runtime's profile of a file on one thread."""
    from kbnn_runtime import Interpreter

    interpreter = Interpreter(file, sidecar=None)
    (image,) = interpreter.inputs
    shape = (1, *image.shape[1:])
    return interpreter.profile(random_image(shape, image.dtype), runs=runs).to_dict()


def memory(engine: str, file: str, threads: int) -> dict[str, int]:
    """Measure the memory for loading and running a file, beyond the memory of the process.

    Peaks are VmHWM in /proc/self/status, which is reset after the interpreter's package was
    imported. The library that `engines.memory` preloads counts the allocations.
    """
    import_interpreter(engine)
    counter = ctypes.CDLL(os.environ[_ALLOCATIONS])
    for function in ("all_allocations", "own_allocations"):
        getattr(counter, function).restype = ctypes.c_uint64
    counter.own_peak_bytes.restype = ctypes.c_int64
    if engine.startswith("kbnn-runtime"):
        import kbnn_runtime

        ctypes.CDLL(str(kbnn_runtime.library_path()))  # before the interpreter loads it
        counter.watch(*map(ctypes.c_void_p, delegate_range()))
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before = _resident("VmRSS")
    run = inference(engine, file, threads)
    loaded = _resident("VmHWM")
    run()
    count = (counter.all_allocations(), counter.own_allocations())
    for _ in range(_INVOCATIONS):
        run()
    every = counter.all_allocations() - count[0]
    own = counter.own_allocations() - count[1]
    return {
        "load_bytes": loaded - before,
        "invoke_bytes": _resident("VmHWM") - before,
        "allocations": round(every / _INVOCATIONS),
        "delegate_allocations": own,
        "delegate_bytes": counter.own_peak_bytes(),
    }


def _resident(field: str) -> int:
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(field + ":"))
    return 1024 * int(line.split()[1])


def delegate_range() -> tuple[int, int]:
    """Return the addresses of the delegate's library; (0, 0) if it is not loaded."""
    lines = pathlib.Path("/proc/self/maps").read_text().splitlines()
    ranges = [line.split()[0].split("-") for line in lines if "kbnn_delegate" in line]
    ends = [int(end, 16) for pair in ranges for end in pair]
    return (min(ends), max(ends)) if ends else (0, 0)


class Server:
    """Answers requests, and keeps the last file of each engine loaded."""

    def __init__(self) -> None:
        self._runs: dict[str, Callable[[], None]] = {}

    def load(self, engine: str, file: str, threads: int) -> None:
        self._runs.pop(engine, None)
        self._runs[engine] = inference(engine, file, threads)

    def seconds(self, engine: str, count: int) -> float:
        """Return the mean time of some runs, after one that fills the caches."""
        run = self._runs[engine]
        run()
        start = time.perf_counter()
        for _ in range(count):
            run()
        return (time.perf_counter() - start) / count

    def profile(self, file: str, runs: int) -> dict[str, Any]:
        return profile(file, runs)


_SERVER = Server()
COMMANDS = {"load": _SERVER.load, "seconds": _SERVER.seconds, "profile": _SERVER.profile}


def main() -> None:
    """Measure memory: `python worker.py memory ENGINE FILE THREADS`."""
    # Native code prints to standard output too, so the result gets another descriptor.
    result = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _, engine, file, threads = sys.argv[1:]
    print(json.dumps(memory(engine, file, int(threads))), file=result, flush=True)


if __name__ == "__main__":
    main()
