"""Measures how much binary activations tell of their real-valued sources, in trained networks.

    python -m research.mutual_information RUN ... --file results/mutual_information.csv

The networks stay as they are. At the input of the last binary layer, two fresh embedding heads are
trained on training images by InfoNCE, with one budget for all networks; the bound of the mutual
information, in nats, is InfoNCE's on the test images, in batches of one size and with no class left
out. It is at most the logarithm of the batch's size.
"""

import dataclasses
import pathlib
from typing import Annotated

import numpy as np
import tensorflow as tf
import tf_keras as keras
import typer

import kbnn
from kbnn.losses import info_nce_bound, info_nce_loss
from kbnn.runs import model_source
from kbnn.runs.folder import RunFolder
from kbnn.runs.run_model import load_data
from kbnn.techniques.contrastive.with_contrast import last_contrastable_layer
from research import finished_runs, provenance, tables

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0], no_args_is_help=True)


@dataclasses.dataclass(frozen=True)
class Row:
    """What the activations of a run's network tell of each other.

    Attributes:
        run: its folder, relative to the folder of all runs.
        layer: whose input it is.
        bound: of the mutual information, in nats, on the test images; mean over batches.
        bound_of_training: the same on the training images: how far the heads are from overfitting.
        distinct_codes: share of different binary codes among the test images.
        steps: of the heads' training.
        batch_size: of training and of the bound.
        temperature: of both.
        embedding: size of the embeddings.
        test_images: on which the bound was measured.
        commit: the state of the repository.
    """

    run: str
    layer: str
    bound: float
    bound_of_training: float
    distinct_codes: float
    steps: int
    batch_size: int
    temperature: float
    embedding: int
    test_images: int
    commit: str


Activations = tuple[np.ndarray, np.ndarray]


@app.command()
def main(
    runs: Annotated[list[pathlib.Path], typer.Argument(help="Folders of finished runs.")],
    file: Annotated[pathlib.Path | None, typer.Option(help="Table to append to.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Of the heads' training.")] = 500,
    batch_size: Annotated[int, typer.Option(min=2, help="Images of a batch.")] = 2048,
    temperature: Annotated[float, typer.Option(help="Of the loss.")] = 0.1,
    embedding: Annotated[int, typer.Option(min=1, help="Size of the embeddings.")] = 128,
    images: Annotated[int, typer.Option(min=2, help="Training images, at most.")] = 20_000,
) -> None:
    """Measure runs, one after another, and show the rows."""
    for run in runs:
        keras.utils.set_random_seed(0)
        splits = load_data(RunFolder(run).config())
        model = model_source.load(run).model
        layer, network = activations_of(model)
        train, test = (
            collect(network, data, most)
            for data, most in ((splits.train, images), (splits.test, None))
        )
        heads = trained_heads(
            train, steps=steps, batch_size=batch_size, temperature=temperature, embedding=embedding
        )
        measured = {"batch_size": batch_size, "temperature": temperature}
        row = Row(
            run=finished_runs.name(run),
            layer=layer,
            bound=round(bound(heads, test, **measured), 4),
            bound_of_training=round(bound(heads, train, **measured), 4),
            distinct_codes=round(distinct(test[0]), 4),
            steps=steps,
            embedding=embedding,
            test_images=len(test[0]),
            commit=provenance.commit(),
            **measured,
        )
        print(row, flush=True)
        if file is not None:
            tables.append(row, file)


def activations_of(model: keras.Model) -> tuple[str, keras.Model]:
    """The layer that signs the input of the last binary one, and a network of input and signs."""
    layer = last_contrastable_layer(model)
    if getattr(layer, "input_quantizer", None) is not None:
        real, quantizer = layer.input, layer.input_quantizer
        return layer.name, keras.Model(model.input, [quantizer(real), real])
    # Binary batch normalization compares; what it compares is normalized by `normalized`.
    return layer.name, keras.Model(model.input, [layer.output, _Normalized(layer)(layer.input)])


class _Normalized(keras.layers.Layer):
    """What stands between the normalization and the sign of a binary batch normalization."""

    def __init__(self, layer: kbnn.layers.BinaryBatchNormalization) -> None:
        super().__init__(trainable=False)
        self._of = layer

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self._of.normalized(inputs)


def collect(network: keras.Model, data: tf.data.Dataset, most: int | None) -> Activations:
    """Binary and real activations of images, as int8 and float16 to save memory."""
    binary, real, count = [], [], 0
    for batch in data:
        signs, values = network(batch[0], training=False)
        binary.append(signs.numpy().astype(np.int8))
        real.append(values.numpy().astype(np.float16))
        count += len(signs)
        if most is not None and count >= most:
            break
    return np.concatenate(binary)[:most], np.concatenate(real)[:most]


def trained_heads(
    train: Activations, *, steps: int, batch_size: int, temperature: float, embedding: int
) -> list[keras.layers.Layer]:
    """Two heads, for binary and real activations, trained by InfoNCE on random batches."""
    heads = [kbnn.layers.EmbeddingHead(embedding, "flatten") for _ in range(2)]
    for head, values in zip(heads, train, strict=True):
        head.build((None, *values.shape[1:]))
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, steps))
    variables = [variable for head in heads for variable in head.trainable_weights]
    optimizer.build(variables)

    @tf.function
    def step(binary: tf.Tensor, real: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            embedded = [head(x) for head, x in zip(heads, (binary, real), strict=True)]
            loss = tf.reduce_mean(info_nce_loss(*embedded, temperature=temperature))
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    random = np.random.default_rng(0)
    for _ in range(steps):
        chosen = random.choice(len(train[0]), min(batch_size, len(train[0])), replace=False)
        step(*(tf.constant(values[chosen], tf.float32) for values in train))
    return heads


def bound(
    heads: list[keras.layers.Layer],
    activations: Activations,
    *,
    batch_size: int,
    temperature: float,
) -> float:
    """InfoNCE's bound, in nats: the mean over whole batches, in an order that is drawn once."""
    order = np.random.default_rng(1).permutation(len(activations[0]))
    size = min(batch_size, len(order))
    found = []
    for start in range(0, len(order) - size + 1, size):
        chosen = order[start : start + size]
        embedded = [
            head(tf.constant(values[chosen], tf.float32))
            for head, values in zip(heads, activations, strict=True)
        ]
        losses = info_nce_loss(*embedded, temperature=temperature) / 2
        found.append(float(info_nce_bound(losses, size - 1)))
    return float(np.mean(found))


def distinct(binary: np.ndarray) -> float:
    """The share of codes that are different."""
    return len(np.unique(binary.reshape(len(binary), -1), axis=0)) / len(binary)


if __name__ == "__main__":
    app()
