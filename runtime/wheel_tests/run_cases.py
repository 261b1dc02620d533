"""Run the cases of cases.py with the wheel that is installed: `run_cases.py CASES RESULTS`.

Needs NumPy and kbnn-runtime alone: it runs in an emulated Python as well. For each case and each
kernels of the processor the output is written to RESULTS/KERNELS/NAME.npy, and what ran them to
RESULTS/platform.json.
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
"""The tensor of `cases.residual_blocks` that has no memory where the ADD that reads it is fused."""


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
    """Whether the first convolution of the residual blocks is computed with the ADD behind it."""
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
