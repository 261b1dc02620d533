"""Measures how much accuracy the moving statistics of a smooth network cost the network of signs.

    python -m research.recalibration RUN ... --file results/recalibration.csv

Batch normalization collects its statistics from the network that trains. If the signs of that
network are smooth, the network that ships is another one. For each run, the table has the
validation accuracy of the smooth network, of the network of signs, and of the network of signs
after `kbnn.recalibrate_batch_norm` on training images.
"""

import dataclasses
import pathlib
from typing import Annotated

import typer

import kbnn
from research import finished_runs, provenance, tables

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0], no_args_is_help=True)


@dataclasses.dataclass(frozen=True)
class Row:
    """The validation accuracy of a run's networks.

    Attributes:
        run: its folder: bench, arm and seed.
        smooth: accuracy of the network as it trained.
        signs: accuracy of the network of signs, as it ships.
        recalibrated: accuracy of the network of signs after recalibration.
        validation_images: number of validation images.
        batches: number of training batches for the recalibration.
        commit: of the repository.
    """

    run: str
    smooth: float
    signs: float
    recalibrated: float
    validation_images: int
    batches: int
    commit: str


@app.command()
def main(
    runs: Annotated[list[pathlib.Path], typer.Argument(help="Folders of finished runs.")],
    file: Annotated[pathlib.Path, typer.Option(help="The table to write.")],
    batches: Annotated[int, typer.Option(help="Batches of training images.")] = 50,
) -> None:
    """Measure runs and write a row for each."""
    rows = []
    for run in runs:
        rows.append(measure(run, batches))
        print(rows[-1], flush=True)
    tables.write(rows, file)


def measure(run: pathlib.Path, batches: int) -> Row:
    """Return the row of a run."""
    model, splits = finished_runs.load(run)
    smooth = finished_runs.accuracy(kbnn.techniques.smooth_network(model), splits.validation)
    signs = finished_runs.accuracy(model, splits.validation)
    kbnn.recalibrate_batch_norm(model, splits.train, steps=batches)
    return Row(
        run=finished_runs.name(run),
        smooth=smooth,
        signs=signs,
        recalibrated=finished_runs.accuracy(model, splits.validation),
        validation_images=sum(len(labels) for _, labels in splits.validation),
        batches=batches,
        commit=provenance.commit(),
    )


if __name__ == "__main__":
    app()
