"""Calls TensorFlow's own converter."""

import os
import tempfile

import tensorflow as tf
import tf_keras as keras

from kbnn.converters.errors import ConversionError
from kbnn.converters.saved_model import save_for_conversion


def to_tflite(model: keras.Model, *, int8: bool) -> bytes:
    """Convert a model with composite functions. Inputs and outputs keep their Keras names.

    Args:
        model: the model.
        int8: whether the model has fake quantization, which becomes int8 arithmetic.

    Raises:
        ConversionError: TensorFlow's converter refused the model.
    """
    with tempfile.TemporaryDirectory() as folder:
        saved_model = os.path.join(folder, "saved_model")
        save_for_conversion(model, saved_model)
        converter = tf.lite.TFLiteConverter.from_saved_model(saved_model)
        converter.allow_custom_ops = True
        if int8:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        try:
            return converter.convert()
        except Exception as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            first = lines[0] if lines else type(error).__name__
            raise ConversionError(f"TensorFlow's converter refused the model: {first}") from error
