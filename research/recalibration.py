"""Measures what moving statistics of the smooth network cost the network of signs.

    python -m research.recalibration runs/final/fashion-smooth-tanh/seed_* \
        --file results/recalibration.csv

Batch normalizations follow the network that trains; where its signs are smooth, that is not the
network that ships. For each run: accuracy on the validation images of both networks, and of the
network of signs with statistics of its own (`kbnn.recalibrate_batch_norm`, on training images).
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
    """Accuracies of a run's networks on the validation images.

    Attributes:
        run: its folder, relative to the folder of all runs.
        smooth: of the network as it trained.
        signs: of the network of signs, as it ships.
        recalibrated: of the network of signs with statistics of its own.
        validation_images: on which all was measured.
        batches: of training images, on which the statistics were measured.
        commit: the state of the repository.
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
    file: Annotated[pathlib.Path, typer.Option(help="The table; it is replaced.")],
    batches: Annotated[int, typer.Option(help="Batches of training images.")] = 50,
) -> None:
    """Measure runs, and write a row for each."""
    rows = []
    for run in runs:
        rows.append(measured(run, batches))
        print(rows[-1], flush=True)
    tables.write(rows, file)


def measured(run: pathlib.Path, batches: int) -> Row:
    """The row of a run."""
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
