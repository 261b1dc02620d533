"""What the outputs of a model say about classes."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn.graph.output_activation import gives_probabilities, output_activation

# Keras's losses for outputs that are not scores of classes of which one is right.
_NOT_FOR_CLASSES = {
    *("mean_squared_error", "mean_absolute_error", "mean_absolute_percentage_error"),
    *("mean_squared_logarithmic_error", "huber", "log_cosh", "poisson"),
    *("binary_crossentropy", "binary_focal_crossentropy", "cosine_similarity"),
}


def has_classes(model: keras.Model) -> bool:
    """Return whether the only output of a model is logits or probabilities of several classes."""
    if len(model.outputs) != 1 or model.outputs[0].shape.rank != 2:
        return False
    is_sigmoid = output_activation(model) in (keras.activations.sigmoid, tf.nn.sigmoid)
    return model.outputs[0].shape[-1] != 1 and not is_sigmoid


def logits_function(model: keras.Model) -> Callable[[Any], tf.Tensor | None]:
    """Return a function from a model's outputs to its logits, or to None if it has none."""
    if len(model.outputs) != 1 or model.outputs[0].shape.rank != 2:
        return lambda outputs: None
    is_softmax = gives_probabilities(model)

    def logits(outputs: Any) -> tf.Tensor:
        (found,) = tf.nest.flatten(outputs)
        found = tf.cast(found, tf.float32)
        # Up to a constant for each sample, which a softmax ignores.
        return tf.math.log(tf.maximum(found, 1e-30)) if is_softmax else found

    return logits


def is_loss_for_classes(loss: Any) -> bool:
    """Return False for the losses of Keras, in any form, that do not compare classes."""
    try:
        found = keras.losses.get(loss)
    except (ValueError, TypeError):
        return True
    name = getattr(getattr(found, "fn", found), "__name__", None)
    return name not in _NOT_FOR_CLASSES
