"""How the network that training sees does on validation data, beside the one that ships."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn.techniques.self_binarizing.smooth_network import smooth_network
from kbnn.training.trainer import model_of


class SmoothValidation(keras.callbacks.Callback):
    """Write the smooth network's loss and metrics on validation data into the logs of each epoch.

    `fit` validates the network that ships, with hard signs: `val_accuracy`. This gives
    `val_smooth_accuracy` beside it, that of `kbnn.techniques.smooth_network`. Their difference is
    what the sharpening has still to close.

    Put `CSVLogger` and `TensorBoard` behind this callback.

    Args:
        validation_data: `(images, labels)` or a dataset of batches of them, as `fit` takes it.
        metrics: a list of names of Keras metrics, or of metrics. The loss is the one that the model
            is compiled with, without `loss_weights`.

    Raises:
        TypeError: data or metrics of another kind.
        ValueError: in `fit`, a model without a `SmoothSign`, and Keras's own errors for a metric or
            data that do not fit it, before the first epoch.

    >>> import kbnn, numpy as np
    >>> images, labels = np.zeros((8, 28, 28, 1), "f"), np.zeros(8)
    >>> smooth = kbnn.callbacks.SmoothValidation((images, labels))   # for fit(..., callbacks=...)

    kbnn's own.
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
        self._evaluate(steps=1)  # the errors of network, data and metrics before the first epoch

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is None:
            return
        logs.update({f"val_smooth_{name}": value for name, value in self._evaluate().items()})

    def _evaluate(self, steps: int | None = None) -> dict[str, float]:
        smooth = smooth_network(model_of(self.model))
        smooth.compile(loss=self.model.loss, metrics=self._metrics)
        return smooth.evaluate(*self._data, verbose=0, return_dict=True, steps=steps)
