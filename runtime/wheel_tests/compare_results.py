"""Compare the results of two platforms: `compare_results.py EXPECTED RECEIVED`.

Both are folders that run_cases.py wrote. All kernels of the second platform must give the results
of the first platform's portable kernels.
"""

import json
import pathlib
import sys

import numpy as np

NETWORK = "fashion_mnist"
"""The only case that also runs LiteRT's operators, whose rounding depends on the processor."""
_TOLERANCE = 1e-4


def main(expected: pathlib.Path, received: pathlib.Path) -> int:
    problems = compare(expected, received)
    print("\n".join(problems) or f"{received}: equal to {expected}")
    return int(bool(problems))


def compare(expected: pathlib.Path, received: pathlib.Path) -> list[str]:
    """List how the received results differ from the expected ones."""
    problems = []
    here, there = (
        json.loads((folder / "platform.json").read_text()) for folder in (expected, received)
    )
    vectors = "avx2" if there["machine"] in ("x86_64", "AMD64") else "neon"
    if vectors not in there["kernels"]:
        problems.append(f"Expected {vectors} kernels. Received: {there['kernels']}")
    for entry in ("kbnn-runtime", "operators", "classes", "fused"):
        if here[entry] != there[entry]:
            problems.append(f"Expected {entry} {here[entry]}. Received: {there[entry]}")
    for kernels in there["kernels"]:
        for path in sorted((expected / "portable").glob("*.npy")):
            one = np.load(path, allow_pickle=False)
            other = np.load(received / kernels / path.name, allow_pickle=False)
            if path.stem == NETWORK:
                same = one.shape == other.shape and np.allclose(one, other, 0, _TOLERANCE)
            else:
                same = one.dtype == other.dtype and np.array_equal(one, other)
            if not same:
                problems.append(
                    f"Expected equal outputs of {path.stem}. Received others: {kernels}"
                )
    return problems


if __name__ == "__main__":
    sys.exit(main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])))
