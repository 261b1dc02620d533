"""Layers that measure the range of a tensor, and round it to 8 bits within that range."""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn.converters.samples import Samples
from kbnn.graph.rewrite import Replacement, rewrite

CALIBRATION_IMAGES = 1024
"""How many images calibration uses."""

# A small negative value that rounds to zero gets the sign +1. Where only the sign matters, cutting
# large values off costs nothing and makes the steps around zero finer.
_SIGN_RANGE = 1 / 8


class FakeQuantization(keras.layers.Layer):
    """Rounds to 8 bits between `low` and `high`. Zero is one of the values.

    Args:
        low: the smallest value.
        high: the largest value.
        float_before: whether what comes before computes in floats, also where the converter could
            make it int8.
        float_after: the same for what comes behind.
    """

    def __init__(
        self,
        low: float,
        high: float,
        float_before: bool = False,
        float_after: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.low = low
        self.high = high
        self.float_before = float_before
        self.float_after = float_after

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.quantization.fake_quant_with_min_max_args(inputs, self.low, self.high)

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("low", "high", "float_before", "float_after")}
        return {**super().get_config(), **own}


class Observer(keras.layers.Layer):
    """Passes a tensor on and records its smallest and largest value.

    Args:
        before_sign: whether only the sign of the tensor matters.
        same_as: an observer whose range the tensor shall have too; None for its own range.
        float_before: as for `FakeQuantization`, which takes the observer's place.
        float_after: likewise.
    """

    def __init__(
        self,
        before_sign: bool = False,
        same_as: "Observer | None" = None,
        float_before: bool = False,
        float_after: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.before_sign = before_sign
        # Keras would make the other observer's weights this one's.
        self._same_as = (same_as,)
        self.sides = {"float_before": float_before, "float_after": float_after}
        self.low = self.add_weight("low", (), initializer="zeros", trainable=False)
        self.high = self.add_weight("high", (), initializer="zeros", trainable=False)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        self.low.assign(tf.minimum(self.low, tf.reduce_min(inputs)))
        self.high.assign(tf.maximum(self.high, tf.reduce_max(inputs)))
        return tf.identity(inputs)

    def range(self) -> tuple[float, float]:
        """The smallest and the largest value to round to.

        Raises:
            ValueError: a value was not finite.
        """
        (same_as,) = self._same_as
        if same_as is not None:
            return same_as.range()
        low, high = self.get_weights()
        if not np.isfinite([low, high]).all():
            raise ValueError(
                "Expected finite activations on `calibration_data`. "
                f"Received: from {low} to {high} at {self.name!r}"
            )
        if self.before_sign:
            low, high = low * _SIGN_RANGE, high * _SIGN_RANGE
        # A tensor that is always zero has no range.
        return float(low), float(high if high > low else low + 1.0)


def quantize_observed(model: keras.Model, data: Samples) -> keras.Model:
    """Run a model on calibration images, and put fake quantization in place of its observers.

    Raises:
        TypeError: a batch of an unsupported type.
        ValueError: a batch that does not fit the model, no images, or activations that are not
            finite.
    """
    _observe(model, data)
    return rewrite(model, _fake_quantization)


def _observe(model: keras.Model, data: Samples) -> None:
    run = tf.function(model, reduce_retracing=True)
    seen = 0
    for inputs, _ in data.batches():
        inputs = [array[: CALIBRATION_IMAGES - seen] for array in inputs]
        run(tf.nest.pack_sequence_as(model.input, [tf.constant(array) for array in inputs]))
        seen += len(inputs[0])
        if seen >= CALIBRATION_IMAGES:
            break
    if not seen:
        raise ValueError("Expected `calibration_data` to hold images. Received: no batch")


def _fake_quantization(layer: keras.layers.Layer) -> Replacement | None:
    if not isinstance(layer, Observer):
        return None
    rounding = FakeQuantization(*layer.range(), **layer.sides, name=layer.name, dtype="float32")
    return Replacement(rounding, [])
