"""Run the cases of cases.py with the installed wheel: `run_cases.py CASES RESULTS`.

Needs only NumPy and kbnn-runtime, so it also runs in an emulated Python. For each case and each of
the processor's kernels it writes the output to RESULTS/KERNELS/NAME.npy, and a description of the
platform to RESULTS/platform.json.
"""

import json
import pathlib
import platform
import sys

import numpy as np

from kbnn_runtime import (
    Interpreter,
    __version__,
    available_kernels,
    library_path,
    load_delegate,
)
from kbnn_runtime.litert import PACKAGE, LiteRTInterpreter
from kbnn_runtime.session import Session

FIRST_CONVOLVED = 6
"""A tensor of `cases.residual_blocks` that has no memory if the ADD that reads it is fused."""


def main(cases: pathlib.Path, results: pathlib.Path) -> None:
    for kernels in available_kernels():
        folder = results / kernels
        folder.mkdir(parents=True)
        for model in sorted(cases.glob("*.tflite")):
            session = Session(model.read_bytes(), num_threads=2, kernels=kernels)
            given = np.load(model.with_suffix(".npy"), allow_pickle=False)
            (output,) = session.run([given])
            np.save(folder / f"{model.stem}.npy", output, allow_pickle=False)
    network = Interpreter(cases / "fashion_mnist.tflite")
    images = np.load(cases / "fashion_mnist.npy", allow_pickle=False)
    document = {
        "kbnn-runtime": __version__,
        "litert": PACKAGE,
        "library": str(library_path()),
        "kernels": list(available_kernels()),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "operators": [entry.type for entry in network.profile(images[:2], runs=1).operators],
        "classes": [best[0].index for best in network.classify(images, top=1)],
        "fused": is_fused(cases / "residual_blocks.tflite"),
    }
    (results / "platform.json").write_text(json.dumps(document, indent=2))


def is_fused(model: pathlib.Path) -> bool:
    """Return whether the first convolution of the residual blocks is fused with its ADD."""
    interpreter = LiteRTInterpreter(str(model), experimental_delegates=[load_delegate()])
    interpreter.allocate_tensors()
    interpreter.invoke()
    try:
        interpreter.get_tensor(FIRST_CONVOLVED)
    except ValueError:
        return True
    return False


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
