"""Validates the smooth network that training sees, in addition to the network that ships."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn.techniques.self_binarizing.smooth_network import smooth_network
from kbnn.training.trainer import model_of


class SmoothValidation(keras.callbacks.Callback):
    """Add the smooth network's validation loss and metrics to the logs of each epoch.

    `fit` validates the network that ships, with hard signs, and logs `val_accuracy`. This callback
    evaluates `kbnn.techniques.smooth_network` on the same data and logs `val_smooth_accuracy`. The
    difference shows how far the sharpening still has to go.

    Place `CSVLogger` and `TensorBoard` after this callback in the list.

    Args:
        validation_data: `(images, labels)`, or a dataset of such batches, as for `fit`.
        metrics: a list of Keras metrics or their names. The loss is the loss that the model is
            compiled with, without its `loss_weights`.

    Raises:
        TypeError: `validation_data` or `metrics` has another type.
        ValueError: in `fit`, before the first epoch, if the model has no `SmoothSign`. Keras raises
            its own errors for data or metrics that do not fit the model.

    Example:
        >>> import kbnn, numpy as np
        >>> images, labels = np.zeros((8, 28, 28, 1), "f"), np.zeros(8)
        >>> smooth = kbnn.callbacks.SmoothValidation((images, labels))   # for `fit`

    Source: kbnn.
    """

    def __init__(self, validation_data: Any, metrics: Sequence[Any] = ("accuracy",)) -> None:
        super().__init__()
        is_arrays = isinstance(validation_data, tuple | list)
        is_dataset = isinstance(validation_data, tf.data.Dataset | keras.utils.Sequence)
        if not (is_dataset or (is_arrays and len(validation_data) in (2, 3))):
            raise TypeError(
                "Expected `validation_data` to be (images, labels) or a dataset of such batches. "
                f"Received: {type(validation_data).__name__}"
            )
        if not isinstance(metrics, tuple | list):
            raise TypeError(f"Expected `metrics` to be a list. Received: metrics={metrics!r}")
        self._data = tuple(validation_data) if is_arrays else (validation_data,)
        self._metrics = list(metrics)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._evaluate(steps=1)  # raises errors of network, data and metrics before the first epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is None:
            return
        logs.update({f"val_smooth_{name}": value for name, value in self._evaluate().items()})

    def _evaluate(self, steps: int | None = None) -> dict[str, float]:
        smooth = smooth_network(model_of(self.model))
        smooth.compile(loss=self.model.loss, metrics=self._metrics)
        return smooth.evaluate(*self._data, verbose=0, return_dict=True, steps=steps)
