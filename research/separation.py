"""Measures how far the classes lie apart in the features of trained networks, and draws them.

    python -m research.separation RUN ... --file results/separation.csv --picture features.png

Features are the inputs of a network's last dense layer, standardized, of the test images. Two
numbers: the scatter between the classes' means divided by that within the classes (traces of the
two matrices), and the accuracy of a linear probe, a logistic regression on the features of training
images. The picture is t-SNE of the first test images.
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
    """How far the classes of a run's network lie apart.

    Attributes:
        run: its folder, relative to the folder of all runs.
        scatter_ratio: trace of the between-class scatter, divided by that of the within-class one.
        probe_accuracy: of a linear probe on the test images.
        features: number of them.
        probe_images: on which the probe was trained.
        test_images: on which all was measured.
        commit: the state of the repository.
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
    file: Annotated[pathlib.Path | None, typer.Option(help="Table to append to.")] = None,
    picture: Annotated[pathlib.Path | None, typer.Option(help="PNG to draw.")] = None,
    probe_images: Annotated[int, typer.Option(help="Training images of the probe.")] = 10_000,
    shown: Annotated[int, typer.Option(help="Test images in the picture.")] = 2_000,
) -> None:
    """Measure runs, and draw their features side by side."""
    points = {}
    for run in runs:
        model, splits = finished_runs.load(run)
        network = penultimate(model)
        train, test = features(network, splits.train, probe_images), features(network, splits.test)
        row = Row(
            run=finished_runs.name(run),
            scatter_ratio=round(scatter_ratio(*standardized(train, test)), 4),
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
            values, labels = standardized(train, test)
            flat = TSNE(random_state=0).fit_transform(values[:shown])
            points[row.run] = (flat, labels[:shown])
    if picture is not None:
        draw(points, picture)


Features = tuple[np.ndarray, np.ndarray]


def penultimate(model: keras.Model) -> keras.Model:
    """The model up to the input of its last dense layer."""
    last = [layer for layer in kbnn.graph.layers_of(model) if hasattr(layer, "units")][-1]
    return keras.Model(model.input, last.input)


def features(network: keras.Model, data: tf.data.Dataset, most: int | None = None) -> Features:
    """A network's outputs, `(images, features)`, and the labels."""
    values, labels, count = [], [], 0
    for images, classes in data:
        values.append(network(images, training=False).numpy())
        labels.append(classes.numpy())
        count += len(classes)
        if most is not None and count >= most:
            break
    return np.concatenate(values)[:most], np.concatenate(labels)[:most]


def standardized(train: Features, test: Features) -> Features:
    """Test features, each with mean 0 and variance 1 over the training images."""
    return StandardScaler().fit(train[0]).transform(test[0]), test[1]


def scatter_ratio(values: np.ndarray, labels: np.ndarray) -> float:
    """The trace of the scatter between the classes, divided by that within them."""
    mean = values.mean(axis=0)
    between = within = 0.0
    for label in np.unique(labels):
        own = values[labels == label]
        between += len(own) * np.sum((own.mean(axis=0) - mean) ** 2)
        within += np.sum((own - own.mean(axis=0)) ** 2)
    return float(between / within)


def probe_accuracy(train: Features, test: Features) -> float:
    """The share of test images that a logistic regression on training features classifies."""
    scaler = StandardScaler().fit(train[0])
    probe = LogisticRegression(max_iter=2000).fit(scaler.transform(train[0]), train[1])
    return float(probe.score(scaler.transform(test[0]), test[1]))


def draw(points: dict[str, Features], picture: pathlib.Path) -> None:
    """The features of each run in the plane, side by side, a colour for each class."""
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
