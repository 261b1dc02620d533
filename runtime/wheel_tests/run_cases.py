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

from kbnn_runtime import Interpreter, __version__, available_kernels, library_path
from kbnn_runtime.litert import PACKAGE
from kbnn_runtime.session import Session


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
    }
    (results / "platform.json").write_text(json.dumps(document, indent=2))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
