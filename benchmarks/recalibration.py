"""Measures what moving statistics of the smooth network cost the network of signs.

    python benchmarks/recalibration.py runs/final/fashion-smooth-tanh/seed_* \
        --file results/recalibration.csv

Batch normalizations follow the network that trains; where its signs are smooth, that is not the
network that ships. For each run: accuracy on the validation images of both networks, and of the
network of signs with statistics of its own (`kbnn.recalibrate_batch_norm`, on training images).
"""

import csv
import dataclasses
import pathlib
from typing import Annotated

import kbnn  # before TensorFlow and Keras: selects Keras 2

import provenance
import tensorflow as tf
import tf_keras as keras
import typer

from kbnn.cli.run_folder import RunFolder
from kbnn.cli.run_model import load_data

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
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as lines:
        fields = [field.name for field in dataclasses.fields(Row)]
        writer = csv.DictWriter(lines, fields, lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(dataclasses.asdict, rows))


def measured(run: pathlib.Path, batches: int) -> Row:
    """The row of a run."""
    folder = RunFolder(run)
    splits = load_data(folder.config())
    model = keras.models.load_model(folder.model_file, compile=False)
    smooth = accuracy(kbnn.training.smooth_network(model), splits.validation)
    signs = accuracy(model, splits.validation)
    kbnn.recalibrate_batch_norm(model, splits.train, steps=batches)
    return Row(
        run="/".join(run.parts[-3:]),
        smooth=smooth,
        signs=signs,
        recalibrated=accuracy(model, splits.validation),
        validation_images=sum(len(labels) for _, labels in splits.validation),
        batches=batches,
        commit=provenance.commit(),
    )


def accuracy(model: keras.Model, data: tf.data.Dataset) -> float:
    """The share of images that a model classifies as they are labelled."""
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return round(model.evaluate(data, verbose=0, return_dict=True)["accuracy"], 4)


if __name__ == "__main__":
    app()
