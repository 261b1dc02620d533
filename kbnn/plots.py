"""Pictures of binary networks in training; they need matplotlib (`pip install "kbnn[plots]"`)."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from kbnn.losses import unbiased_squared_error
from kbnn.math import smooth_sign

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["noisy_labels", "smooth_signs", "weight_histograms"]


def noisy_labels(rates: Sequence[float] = (0.0, 0.1, 0.2, 0.3)) -> "Figure":
    """Draw the unbiased squared error to a noisy label of +1, each curve with its minimum.

    Args:
        rates: noise rates, each for both signs, from 0 to below 0.5.

    Returns:
        A matplotlib figure, for `savefig`.

    >>> import kbnn
    >>> kbnn.plots.noisy_labels().savefig("noisy_labels.png")   # doctest: +SKIP
    """
    figure = _figure(6, 3.6)
    axes = figure.subplots()
    q = np.linspace(-1.5, 2.5, 401)
    for i, rate in enumerate(rates):
        loss = unbiased_squared_error(q, np.ones_like(q), rate, rate).numpy()
        stretched = 1 + 2 * rate / (1 - 2 * rate)
        axes.plot(q, loss, color=f"C{i}", label=f"{rate:g}: squared error to {stretched:.3g}")
        least = unbiased_squared_error(stretched, 1.0, rate, rate)
        axes.plot(stretched, float(least), "o", color=f"C{i}")
    axes.axvspan(-1, 1, color="gray", alpha=0.15)
    axes.set(xlabel="prediction q", ylabel="loss for the noisy label +1")
    axes.grid(alpha=0.3)
    axes.legend(title="noise rate")
    return figure


def smooth_signs(sharpness: Sequence[float] = (1.0, 2.0, 5.0, 20.0)) -> "Figure":
    """Draw the smooth sign and its gradient for several sharpnesses.

    Args:
        sharpness: positive numbers.

    Returns:
        A matplotlib figure, for `savefig`.

    >>> import kbnn
    >>> kbnn.plots.smooth_signs().savefig("smooth_signs.png")   # doctest: +SKIP
    """
    figure = _figure(8, 3.2)
    x = tf.linspace(-2.0, 2.0, 801)
    values, gradients = figure.subplots(1, 2)
    for nu in sharpness:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = smooth_sign(x, nu)
        values.plot(x, y, label=f"{nu:g}")
        gradients.plot(x, tape.gradient(y, x), label=f"{nu:g}")
    values.set(xlabel="x", ylabel="tanh(nu x)")
    gradients.set(xlabel="x", ylabel="gradient")
    for axes in (values, gradients):
        axes.grid(alpha=0.3)
        axes.legend(title="nu")
    return figure


def weight_histograms(file: str | os.PathLike[str], epochs: int = 4) -> "Figure":
    """Draw the histograms that `kbnn.callbacks.WeightHistograms` has written.

    Args:
        file: its `.npz`.
        epochs: how many epochs to show, the first and the last one among them.

    Returns:
        A matplotlib figure with a row for each layer and a column for each epoch.

    Raises:
        ValueError: another file, or a number of epochs below 1.

    >>> import kbnn
    >>> figure = kbnn.plots.weight_histograms("weights.npz")   # doctest: +SKIP
    """
    if not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"Expected `epochs` to be a positive integer. Received: epochs={epochs!r}")
    with np.load(file, allow_pickle=False) as content:
        arrays = dict(content)
    if not {"edges", "epochs"} < arrays.keys():
        raise ValueError(
            f"Expected {file} to be of kbnn.callbacks.WeightHistograms. "
            f"Received: a file with {', '.join(arrays) or 'nothing'}"
        )
    edges, numbers = arrays.pop("edges"), arrays.pop("epochs")
    shown = np.unique(np.linspace(0, len(numbers) - 1, epochs).round().astype(int))
    figure = _figure(2.2 * len(shown), 1.4 * len(arrays) + 0.4)
    rows = figure.subplots(len(arrays), len(shown), sharex=True, sharey="row", squeeze=False)
    for (layer, shares), row in zip(arrays.items(), rows, strict=True):
        row[0].set_ylabel(layer)
        for i, axes in zip(shown, row, strict=True):
            axes.stairs(shares[i], edges, fill=True)
    for i, axes in zip(shown, rows[0], strict=True):
        axes.set_title("before" if numbers[i] < 0 else f"epoch {numbers[i] + 1}")
    for axes in rows[-1]:
        axes.set_xlabel("tanh(nu w)")
    return figure


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")
