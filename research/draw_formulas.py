"""Draws the formulas of the techniques for the documentation.

python -m research.draw_formulas --folder docs/pictures
"""

import pathlib
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import tensorflow as tf
import typer
from matplotlib.figure import Figure

from kbnn.losses import unbiased_squared_error
from kbnn.math import smooth_sign

app = typer.Typer(add_completion=False, help=__doc__.split("\n")[0])


@app.command()
def main(
    folder: Annotated[
        pathlib.Path,
        typer.Option(help="Existing folder to write to.", exists=True, file_okay=False),
    ] = pathlib.Path("docs/pictures"),
) -> None:
    """Write `smooth_signs.png` and `noisy_labels.png`."""
    draw_smooth_signs().savefig(folder / "smooth_signs.png")
    draw_noisy_labels().savefig(folder / "noisy_labels.png")


def draw_smooth_signs(sharpness: Sequence[float] = (1.0, 2.0, 5.0, 20.0)) -> Figure:
    """Draw the smooth sign and its gradient, with a curve for each sharpness."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
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


def draw_noisy_labels(rates: Sequence[float] = (0.0, 0.1, 0.2, 0.3)) -> Figure:
    """Draw the unbiased squared error to a label of +1, with its minimum, for each noise rate."""
    figure = Figure(figsize=(6, 3.6), layout="constrained")
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


if __name__ == "__main__":
    app()
