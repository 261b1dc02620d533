"""Compares a binary network with int8 networks of about the same size or speed.

    python -m research.alternatives cifar_vgg_tiny ste_sign float float_13

The accuracy is the mean over the seeds in results/bench.csv. The command times the file of seed 0
in kbnn-runtime, one image at a time on one thread. The files take turns. Each call writes the rows
of its arms to results/alternatives.csv.
"""

import dataclasses
import pathlib
import statistics
from collections.abc import Callable
from typing import Annotated

import numpy as np
import typer

import kbnn_runtime
from research import bench_table, benches, provenance, step_timing, tables
from research.bench import RUNS

FILE = provenance.ROOT / "results" / "alternatives.csv"
SEED = 0

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0])


@dataclasses.dataclass(frozen=True)
class Row:
    """A network that a user could choose.

    Attributes:
        bench: the name of the bench.
        arm: the name of the arm.
        runs: number of seeds.
        accuracy: mean accuracy of the device files on the test images.
        file_bytes: size of seed 0's file.
        milliseconds: time of an inference, median of the rounds.
        ratio: that time divided by the first arm's in the same round; median of the rounds.
        ratio_lower_quartile: a quarter of the rounds have a smaller ratio.
        ratio_upper_quartile: a quarter of the rounds have a larger ratio.
        machine: processor, instruction set, and numbers of cores and threads.
        commit: commit of the repository; "+" means that tracked files outside results/ had
            uncommitted changes.
        date: day of the measurement.
    """

    bench: str
    arm: str
    runs: int
    accuracy: float
    file_bytes: int
    milliseconds: float
    ratio: float
    ratio_lower_quartile: float
    ratio_upper_quartile: float
    machine: str
    commit: str
    date: str


@app.command()
def main(
    bench: Annotated[str, typer.Argument(help="A bench of research/benches.")],
    arms: Annotated[
        list[str], typer.Argument(help="Arms that have rows. Ratios are to the first arm.")
    ],
    rounds: Annotated[int, typer.Option(help="Number of rounds.", min=3)] = 30,
    inferences: Annotated[int, typer.Option(help="Inferences in a round.", min=1)] = 100,
    table: Annotated[pathlib.Path, typer.Option(help="The table of the benches.")] = (
        bench_table.FILE
    ),
    file: Annotated[pathlib.Path, typer.Option(help="The table to write.")] = FILE,
    runs: Annotated[pathlib.Path, typer.Option(help="Folder of the runs.")] = RUNS,
) -> None:
    """Time the device files of arms, and write their rows."""
    found: dict[str, list[float]] = {arm: [] for arm in arms}
    for row in bench_table.read(table):
        if row.bench == bench and row.arm in found and row.device_accuracy is not None:
            found[row.arm].append(row.device_accuracy)
    files = {arm: benches.run_folder(runs, bench, arm, SEED) / "model.tflite" for arm in arms}
    missing = [arm for arm in arms if not found[arm] or not files[arm].is_file()]
    if missing:
        raise typer.BadParameter(
            f"Expected arms with rows in {table} and with the file of seed {SEED} in {runs}. "
            f"Received: {', '.join(missing)}"
        )
    turns = step_timing.take_turns(
        {arm: _inference(path) for arm, path in files.items()},
        rounds=rounds,
        steps_per_round=inferences,
    )
    seconds = {arm: [turn.wall for turn in own] for arm, own in turns.items()}
    rows = []
    for arm in arms:
        ratio = step_timing.ratio(seconds[arm], seconds[arms[0]])
        rows.append(
            Row(
                *(bench, arm, len(found[arm])),
                accuracy=statistics.fmean(found[arm]),
                file_bytes=files[arm].stat().st_size,
                milliseconds=1000 * statistics.median(seconds[arm]),
                ratio=ratio.median,
                ratio_lower_quartile=ratio.lower_quartile,
                ratio_upper_quartile=ratio.upper_quartile,
                machine=provenance.machine(),
                commit=provenance.commit(),
                date=provenance.today(),
            )
        )
        print(
            f"{arm}: {100 * rows[-1].accuracy:.2f} %, {rows[-1].file_bytes:,} bytes, "
            f"{rows[-1].milliseconds:.4f} ms, {ratio.median:.2f} times the first"
        )
    tables.update(rows, file, by=("bench", "arm"))


def _inference(path: pathlib.Path) -> Callable[[], object]:
    interpreter = kbnn_runtime.Interpreter(path, num_threads=1)
    (port,) = interpreter.inputs
    numbers = np.random.default_rng(0).integers(0, 128, (1, *port.shape[1:]))
    image = numbers.astype(port.dtype)
    return lambda: interpreter.predict(image)


if __name__ == "__main__":
    app()
