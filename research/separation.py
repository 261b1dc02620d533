"""Measures how far apart the classes are in the features of trained networks, and draws them.

    python -m research.separation RUN ... --file results/separation.csv --picture features.png

The features are the standardized inputs of a network's last dense layer, on the test images. Two
numbers describe them: the scatter between the classes divided by the scatter within them (traces of
the two matrices), and the accuracy of a linear probe, which is a logistic regression on the
features of training images. The picture is a t-SNE of the first test images.
"""

import dataclasses
import pathlib
from typing import Annotated

import numpy as np
import tensorflow as tf
import tf_keras as keras
import typer
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE
from sklearn.preprocessing import StandardScaler

import kbnn
from research import finished_runs, provenance, tables

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0], no_args_is_help=True)


@dataclasses.dataclass(frozen=True)
class Row:
    """How far apart the classes are in a run's network.

    Attributes:
        run: its folder: bench, arm and seed.
        scatter_ratio: trace of the scatter between classes, divided by the trace within classes.
        probe_accuracy: test accuracy of a linear probe.
        features: number of features.
        probe_images: number of training images for the probe.
        test_images: number of test images.
        commit: of the repository.
    """

    run: str
    scatter_ratio: float
    probe_accuracy: float
    features: int
    probe_images: int
    test_images: int
    commit: str


@app.command()
def main(
    runs: Annotated[list[pathlib.Path], typer.Argument(help="Folders of finished runs.")],
    file: Annotated[
        pathlib.Path | None, typer.Option(help="The table to which the rows are added.")
    ] = None,
    picture: Annotated[pathlib.Path | None, typer.Option(help="The PNG file to draw.")] = None,
    probe_images: Annotated[
        int, typer.Option(help="Number of training images for the probe.")
    ] = 10_000,
    shown: Annotated[int, typer.Option(help="Number of test images in the picture.")] = 2_000,
) -> None:
    """Measure runs and draw their features side by side."""
    points = {}
    for run in runs:
        model, splits = finished_runs.load(run)
        network = penultimate_network(model)
        train, test = features(network, splits.train, probe_images), features(network, splits.test)
        row = Row(
            run=finished_runs.name(run),
            scatter_ratio=round(scatter_ratio(*standardize(train, test)), 4),
            probe_accuracy=round(probe_accuracy(train, test), 4),
            features=test[0].shape[1],
            probe_images=len(train[0]),
            test_images=len(test[0]),
            commit=provenance.commit(),
        )
        print(row)
        if file is not None:
            tables.append(row, file)
        if picture is not None:
            values, labels = standardize(train, test)
            flat = TSNE(random_state=0).fit_transform(values[:shown])
            points[row.run] = (flat, labels[:shown])
    if picture is not None:
        draw(points, picture)


Features = tuple[np.ndarray, np.ndarray]


def penultimate_network(model: keras.Model) -> keras.Model:
    """Return the model up to the input of its last dense layer."""
    last = [layer for layer in kbnn.graph.layers_of(model) if hasattr(layer, "units")][-1]
    return keras.Model(model.input, last.input)


def features(network: keras.Model, data: tf.data.Dataset, most: int | None = None) -> Features:
    """Return a network's outputs, `(images, features)`, and the labels."""
    values, labels, count = [], [], 0
    for images, classes in data:
        values.append(network(images, training=False).numpy())
        labels.append(classes.numpy())
        count += len(classes)
        if most is not None and count >= most:
            break
    return np.concatenate(values)[:most], np.concatenate(labels)[:most]


def standardize(train: Features, test: Features) -> Features:
    """Scale the test features so that training features have mean 0 and variance 1."""
    return StandardScaler().fit(train[0]).transform(test[0]), test[1]


def scatter_ratio(values: np.ndarray, labels: np.ndarray) -> float:
    """Return the trace of the scatter between the classes, divided by the trace within them."""
    mean = values.mean(axis=0)
    between = within = 0.0
    for label in np.unique(labels):
        own = values[labels == label]
        between += len(own) * np.sum((own.mean(axis=0) - mean) ** 2)
        within += np.sum((own - own.mean(axis=0)) ** 2)
    return float(between / within)


def probe_accuracy(train: Features, test: Features) -> float:
    """Return the test accuracy of a logistic regression on training features."""
    scaler = StandardScaler().fit(train[0])
    probe = LogisticRegression(max_iter=2000).fit(scaler.transform(train[0]), train[1])
    return float(probe.score(scaler.transform(test[0]), test[1]))


def draw(points: dict[str, Features], picture: pathlib.Path) -> None:
    """Draw the features of each run side by side, with a colour for each class."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(points), 5), layout="constrained")
    for axes, (name, (flat, labels)) in zip(
        figure.subplots(1, len(points), squeeze=False)[0], points.items(), strict=True
    ):
        axes.scatter(*flat.T, c=labels, cmap="tab10", s=4)
        axes.set(title=name, xticks=[], yticks=[])
    figure.savefig(picture, dpi=100)


if __name__ == "__main__":
    app()
