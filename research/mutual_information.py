"""Measures the mutual information of binary and real-valued activations in trained networks.

    python -m research.mutual_information RUN ... --file results/mutual_information.csv

The networks stay as they are. Two new embedding heads are trained by InfoNCE at the input of the
last binary layer, on training images and with the same budget for every network. The result is
InfoNCE's lower bound on the test images, in nats. It cannot exceed the logarithm of the batch size.
"""

import dataclasses
import pathlib
from typing import Annotated

import numpy as np
import tensorflow as tf
import tf_keras as keras
import typer

import kbnn
from kbnn.graph.layer_choice import last_input_layer
from kbnn.losses import info_nce_loss
from kbnn.runs import model_source
from kbnn.runs.folder import RunFolder
from kbnn.runs.run_model import load_data
from kbnn.techniques.contrastive.bounds import info_nce_bound
from kbnn.techniques.contrastive.embedding_head import EmbeddingHead
from research import finished_runs, provenance, tables

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0], no_args_is_help=True)


@dataclasses.dataclass(frozen=True)
class Row:
    """The mutual information of a run's activations.

    Attributes:
        run: its folder: bench, arm and seed.
        layer: the layer whose input is measured.
        bound: lower bound on the test images, in nats; mean over batches.
        bound_of_training: the same on the training images, which shows overfitting of the heads.
        distinct_codes: number of distinct binary codes, divided by the number of test images.
        steps: training steps of the heads.
        batch_size: images of a batch, in training and in the bound.
        temperature: of InfoNCE, in both.
        embedding: size of the embeddings.
        test_images: number of test images.
        commit: of the repository.
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
    file: Annotated[
        pathlib.Path | None, typer.Option(help="The table to which the rows are added.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Training steps of the heads.")] = 500,
    batch_size: Annotated[int, typer.Option(min=2, help="Images of a batch.")] = 2048,
    temperature: Annotated[float, typer.Option(help="Temperature of InfoNCE.")] = 0.1,
    embedding: Annotated[int, typer.Option(min=1, help="Size of the embeddings.")] = 128,
    images: Annotated[
        int, typer.Option(min=2, help="Number of training images, at most.")
    ] = 20_000,
) -> None:
    """Measure runs one after another, and print their rows."""
    for run in runs:
        keras.utils.set_random_seed(0)
        splits = load_data(RunFolder(run).config())
        model = model_source.load(run).model
        layer, network = activations_of(model)
        train, test = (
            collect(network, data, most)
            for data, most in ((splits.train, images), (splits.test, None))
        )
        heads = train_heads(
            train, steps=steps, batch_size=batch_size, temperature=temperature, embedding=embedding
        )
        measured = {"batch_size": batch_size, "temperature": temperature}
        row = Row(
            run=finished_runs.name(run),
            layer=layer,
            bound=round(bound(heads, test, **measured), 4),
            bound_of_training=round(bound(heads, train, **measured), 4),
            distinct_codes=round(share_of_distinct_codes(test[0]), 4),
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
    """Return the layer that binarizes the last binary input, and a network of signs and values."""
    layer = last_input_layer(model)
    if layer is None:
        raise ValueError(
            f"Expected a model with quantized inputs. Received: model={model.name!r} without any"
        )
    if getattr(layer, "input_quantizer", None) is not None:
        real, quantizer = layer.input, layer.input_quantizer
        return layer.name, keras.Model(model.input, [quantizer(real), real])
    # Binary batch normalization never computes the normalized values: it compares with thresholds.
    return layer.name, keras.Model(model.input, [layer.output, _Normalization(layer)(layer.input)])


class _Normalization(keras.layers.Layer):
    """The values before the sign of a binary batch normalization."""

    def __init__(self, layer: kbnn.layers.BinaryBatchNormalization) -> None:
        super().__init__(trainable=False)
        self._of = layer

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return self._of.normalize(inputs)


def collect(network: keras.Model, data: tf.data.Dataset, most: int | None) -> Activations:
    """Return binary and real activations of images, as int8 and float16 to save memory."""
    binary, real, count = [], [], 0
    for batch in data:
        signs, values = network(batch[0], training=False)
        binary.append(signs.numpy().astype(np.int8))
        real.append(values.numpy().astype(np.float16))
        count += len(signs)
        if most is not None and count >= most:
            break
    return np.concatenate(binary)[:most], np.concatenate(real)[:most]


def train_heads(
    train: Activations, *, steps: int, batch_size: int, temperature: float, embedding: int
) -> list[keras.layers.Layer]:
    """Train two heads, for binary and real activations, by InfoNCE on random batches."""
    heads = [EmbeddingHead(embedding, "flatten") for _ in range(2)]
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
    """Return InfoNCE's lower bound, in nats: the mean over whole batches in a fixed order."""
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


def share_of_distinct_codes(binary: np.ndarray) -> float:
    """Return the number of distinct codes, divided by the number of codes."""
    return len(np.unique(binary.reshape(len(binary), -1), axis=0)) / len(binary)


if __name__ == "__main__":
    app()
