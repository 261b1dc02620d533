"""Tells which layers will run binary on the device, which will not, and why."""

import tf_keras as keras

from kbnn.converters.device_model import DeviceModel
from kbnn.converters.lint_rules import LintResult
from kbnn.converters.linted_model import LintedModel


def lint(model: keras.Model) -> list[LintResult]:
    """Tell for each layer with a kernel whether it will run binary on the device.

    Use it before training: it also finds what keeps a binary network from learning.

    Args:
        model: a built functional or Sequential model, trained or frozen.

    Returns:
        One named tuple for each layer that multiplies by weights (convolutional, dense, attention,
            recurrent and your own layers), including layers of nested models, in the order of the
            model:

            - `layer`, `kind`: the layer's name and class.
            - `binary`: whether it will run as a binary operator.
            - `problem`: why a layer with binary weights and inputs cannot run binary, or "".
              `convert` refuses such a layer unless you name it in `allow_float`.
            - `note`: what else there is to know, or "".
            - `warning`: what in front of the layer keeps the network from learning, and what to
              change, or "". `convert` does not refuse such a layer.

    Raises:
        TypeError: the model is subclassed or belongs to Keras 3.
        ValueError: the model is not built or cannot be frozen.

    Example:

    >>> import kbnn
    >>> [row.layer for row in kbnn.converters.lint(kbnn.models.vgg_tiny()) if row.binary]
    ['conv_1', 'conv_2', 'conv_3']
    """
    return DeviceModel(model).frozen.lint_results


def lint_for_training(model: keras.Model) -> list[LintResult]:
    """Do what `lint` does, but leave TensorFlow's random state as it is.

    The model is not frozen for this, so the scale of its kernels is not checked.
    """
    return LintedModel(model).lint_results
