"""Run corrupt models in LiteRT with the delegate. None may crash the process.

    python fuzz_models.py --cases 100000

Each case is a model of one LCE operator, or of a residual sum, in which some bytes are changed. It
depends only on the seed and the number of the case. Cases run in a worker process, which is
restarted after a case that crashed it. LiteRT itself crashes on some corrupt files before a
delegate sees them, so cases that also crash without the delegate are counted separately.
"""

import argparse
import collections
import json
import mmap
import pathlib
import resource
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "operators"))

from ai_edge_litert.interpreter import Interpreter
from delegates import interpreter
from operator_models import Convolution, Tensor, operator_model

# The address space of a worker, so that allocations fail as on a small device.
MEMORY = 4 << 30
SECONDS_WITHOUT_PROGRESS = 60


def valid_models() -> list[bytes]:
    """Build small valid models of each operator and of residual sums, where most bytes matter."""
    random = np.random.default_rng(0)
    models = []
    for output in ("float32", "int8", "packed"):
        for padding in ("valid", "one", "zero"):
            subject = Convolution(
                filters=1 - 2 * random.integers(0, 2, (5, 3, 3, 33)),
                channels_in=33,
                padding=padding,
                multiplier=random.normal(size=5),
                bias=random.normal(size=5),
                thresholds=random.integers(0, 300, 5),
                output=output,
                quantization=(0.1, 3),
                input_size=(6, 6),
            )
            models.append(subject.model())
            if output == "float32":
                size = (4, 4) if padding == "valid" else (6, 6)
                models += [subject.residual_model(size, signs=signs) for signs in (True, False)]
    pool = {"filter_height": 2, "filter_width": 2, "stride_height": 2, "stride_width": 2}
    pixels = Tensor((1, 6, 6, 2), np.int32)
    models.append(operator_model("LceBMaxPool2d", [pixels], pixels, {**pool, "padding": 0}))
    for dtype in (np.float32, np.int8, np.bool_):
        values = Tensor((1, 4, 4, 40), dtype, quantization=(0.1, 3))
        words = Tensor((1, 4, 4, 2), np.int32)
        models.append(operator_model("LceQuantize", [values], words))
        models.append(operator_model("LceDequantize", [words], values))
    return models


def corrupt_model(models: list[bytes], seed: int, case: int) -> bytes:
    random = np.random.default_rng([seed, case])
    model = bytearray(models[random.integers(len(models))])
    interesting = [0, 1, 2, 3, 4, 127, 128, 255]
    for _ in range(random.integers(1, 5)):
        at = random.integers(len(model))
        model[at] = random.choice(interesting) if random.integers(2) else random.integers(256)
    return bytes(model)


def attempt(model: bytes, with_delegate: bool) -> str:
    """Try to run the model, and return the outcome."""
    try:
        network = interpreter(model) if with_delegate else Interpreter(model_content=model)
        network.allocate_tensors()
        sizes = [np.prod(d["shape"], dtype=float) for d in network.get_tensor_details()]
        if max(sizes, default=0) > 1e6:
            return "too large to run"
        network.invoke()
    except (ValueError, RuntimeError, MemoryError):
        return "refused"
    return "run"


def work(seed: int, first: int, last: int, with_delegate: bool, progress: str) -> None:
    """Run cases first .. last - 1 in a worker, which records its progress in a file."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    models = valid_models()
    outcomes: collections.Counter = collections.Counter()
    with open(progress, "r+b") as file, mmap.mmap(file.fileno(), 4096) as shared:
        for case in range(first, last):
            outcomes[attempt(corrupt_model(models, seed, case), with_delegate)] += 1
            text = json.dumps({"next": case + 1, "outcomes": outcomes}).encode()
            shared[: len(text) + 1] = text + b"\n"


def supervise(seed: int, first: int, last: int, with_delegate: bool) -> dict:
    """Run a worker, and return the state that it leaves, finished or not."""
    with tempfile.NamedTemporaryFile() as progress:
        progress.write(json.dumps({"next": first, "outcomes": {}}).encode().ljust(4096, b"\n"))
        progress.flush()
        arguments = ["--worker", str(seed), str(first), str(last), str(int(with_delegate))]
        worker = subprocess.Popen(
            [sys.executable, __file__, *arguments, progress.name],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        before = -1
        while True:
            try:
                worker.wait(SECONDS_WITHOUT_PROGRESS)
                break
            except subprocess.TimeoutExpired:
                case = read_state(progress.name)["next"]
                if case == before:
                    worker.kill()
                    worker.wait()
                    break
                before = case
        return {**read_state(progress.name), "code": worker.returncode}


def read_state(path: str) -> dict:
    return json.loads(pathlib.Path(path).read_bytes().split(b"\n")[0])


def fuzz(cases: int, seed: int) -> tuple[collections.Counter, list[int]]:
    """Return the number of each outcome, and the cases that crash only with the delegate."""
    outcomes: collections.Counter = collections.Counter()
    ours = []
    case = 0
    while case < cases:
        state = supervise(seed, case, cases, with_delegate=True)
        outcomes.update(state["outcomes"])
        case = state["next"]
        if state["code"] == 0:
            break
        crashes_litert = crashes_without_delegate(seed, case)
        if not crashes_litert:
            ours.append(case)
        outcomes["crash of LiteRT" if crashes_litert else "CRASH WITH THE DELEGATE"] += 1
        case += 1
    return outcomes, ours


def crashes_without_delegate(seed: int, case: int) -> bool:
    """Return whether a case also crashes the process without the delegate.

    If LiteRT reads the options of a corrupt file as another operator's, the outcome depends on the
    content of memory. So the case is also tried after the cases before it.
    """
    for before in (0, 1, 10, 100):
        state = supervise(seed, max(case - before, 0), case + 1, with_delegate=False)
        if state["code"] != 0 and state["next"] == case:
            return True
    return False


def main() -> int:
    if sys.argv[1:2] == ["--worker"]:
        seed, first, last, with_delegate = map(int, sys.argv[2:6])
        work(seed, first, last, bool(with_delegate), sys.argv[6])
        return 0
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    outcomes, ours = fuzz(arguments.cases, arguments.seed)
    print(f"{arguments.cases} corrupt models, seed {arguments.seed}")
    for outcome, count in sorted(outcomes.items()):
        print(f"  {outcome}: {count}")
    if ours:
        print(f"  cases that crash only with the delegate: {ours}")
    return len(ours) > 0


if __name__ == "__main__":
    sys.exit(main())
