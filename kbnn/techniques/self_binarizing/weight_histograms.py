"""Histograms of the weights of smooth signs, epoch by epoch, and a plot of them."""

import os
import pathlib
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn import _checks
from kbnn._files import replace_file
from kbnn.graph.larq_quantizers import latent_kernel, quantized_kernels, quantizers_of
from kbnn.math import smooth_sign
from kbnn.techniques.self_binarizing.smooth_sign import SmoothSign

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BINS = 50


class WeightHistograms(keras.callbacks.Callback):
    """Write histograms of `tanh(sharpness * w)` for each `SmoothSign` kernel, epoch by epoch.

    In a successful training a histogram first has two humps, then two peaks at -1 and +1. Draw the
    file with `kbnn.techniques.plot_weight_histograms`. It is an `.npz` that contains

    - `edges`: the 51 edges of the bins;
    - `epochs`: the number of each epoch, from 0; -1 is the state before the first epoch;
    - for each kernel, under a name such as "conv_1/kernel": shares `(epochs, 50)`.

    If you resume training, the callback appends to the file.

    Args:
        file: path of the `.npz`, in an existing folder.

    Raises:
        ValueError: in `fit`, if the model is not built or no kernel has a `SmoothSign`; or if a
            resumed training finds a file that is not its own.
        FileNotFoundError: in `fit`, if the folder does not exist.

    Example:
        >>> import kbnn
        >>> histograms = kbnn.callbacks.WeightHistograms("weights.npz")   # for `fit`
    """

    def __init__(self, file: str | os.PathLike[str]) -> None:
        super().__init__()
        self._file = pathlib.Path(file)
        self._kernels: dict[str, tuple[keras.layers.Layer, str]] = {}
        self._rows: dict[str, list[Any]] | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        _checks.built(self.model)
        if not self._file.parent.is_dir():
            raise FileNotFoundError(
                f"Expected an existing folder for the histograms. Received: {self._file.parent}"
            )
        self._kernels = {
            name: (layer, argument)
            for name, (layer, argument) in quantized_kernels(self.model).items()
            if isinstance(quantizers_of(layer)[argument], SmoothSign)
        }
        if not self._kernels:
            raise ValueError(
                "Expected a model with a kbnn.quantizers.SmoothSign as kernel quantizer. "
                f"Received: model={self.model.name!r} without one"
            )
        self._rows = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._rows is None:
            self._rows = self._read_rows(epoch)
            if not self._rows["epochs"]:
                self._append(epoch - 1)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._append(epoch)

    def _read_rows(self, epoch: int) -> dict[str, list[Any]]:
        """Read the rows of earlier epochs, or begin with none."""
        names = ["epochs", *self._kernels]
        rows: dict[str, list[Any]] = {name: [] for name in names}
        if epoch == 0 or not self._file.exists():
            return rows
        try:
            with np.load(self._file, allow_pickle=False) as file:
                earlier = file["epochs"] < epoch
                return {name: list(file[name][earlier]) for name in names}
        except (KeyError, ValueError, OSError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"Expected {self._file} to hold this training's earlier histograms. "
                f"Received: another file ({error}). Remove it or choose another name."
            ) from error

    def _append(self, epoch: int) -> None:
        rows = self._rows or {}
        edges = np.linspace(-1, 1, _BINS + 1)
        rows["epochs"].append(epoch)
        for name, (layer, argument) in self._kernels.items():
            kernel = tf.cast(latent_kernel(layer, argument), "float32")
            values = smooth_sign(kernel, quantizers_of(layer)[argument].sharpness)
            rows[name].append(np.histogram(values, edges)[0] / np.size(values))
        with replace_file(self._file) as temporary, open(temporary, "wb") as file:
            np.savez(file, edges=edges, **rows)


def plot_weight_histograms(file: str | os.PathLike[str], epochs: int = 4) -> "Figure":
    """Draw the histograms that `kbnn.callbacks.WeightHistograms` wrote.

    Needs matplotlib (`pip install "kbnn[plots]"`).

    Args:
        file: the `.npz`.
        epochs: how many epochs to show; the first and the last one are among them.

    Returns:
        A matplotlib figure with a row for each layer and a column for each epoch.

    Raises:
        ValueError: `file` is not a file of `WeightHistograms`, or `epochs` is below 1.

    Example:
        >>> import kbnn
        >>> figure = kbnn.techniques.plot_weight_histograms("weights.npz")   # doctest: +SKIP
    """
    from matplotlib.figure import Figure

    _checks.positive_int("epochs", epochs)
    with np.load(file, allow_pickle=False) as content:
        arrays = dict(content)
    if not {"edges", "epochs"} < arrays.keys():
        raise ValueError(
            f"Expected {file} to be written by kbnn.callbacks.WeightHistograms. "
            f"Received: a file with {', '.join(arrays) or 'nothing'}"
        )
    edges, epoch_numbers = arrays.pop("edges"), arrays.pop("epochs")
    shown = np.unique(np.linspace(0, len(epoch_numbers) - 1, epochs).round().astype(int))
    size = (2.2 * len(shown), 1.4 * len(arrays) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    rows = figure.subplots(len(arrays), len(shown), sharex=True, sharey="row", squeeze=False)
    for (layer, shares), row in zip(arrays.items(), rows, strict=True):
        row[0].set_ylabel(layer)
        for i, axes in zip(shown, row, strict=True):
            axes.stairs(shares[i], edges, fill=True)
    for i, axes in zip(shown, rows[0], strict=True):
        axes.set_title("before" if epoch_numbers[i] < 0 else f"epoch {epoch_numbers[i] + 1}")
    for axes in rows[-1]:
        axes.set_xlabel("tanh(nu w)")
    return figure
