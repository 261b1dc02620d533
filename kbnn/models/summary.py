"""What a model costs as it ships: bits, bytes, multiply-accumulates."""

from collections.abc import Callable
from typing import Any

import larq as lq
import tf_keras as keras

from kbnn.training.freeze import freeze


def summary(model: keras.Model, print_fn: Callable[[str], Any] | None = None) -> None:
    """Print Larq's summary of the frozen model.

    Larq's own `larq.models.summary(model)` counts what training needs too: the weights that a
    quantizer owns, and kernels by the precision that their quantizer claims. This one counts the
    network that ships: kernels of 1 bit, and nothing of the rest.

    Args:
        model: a built functional or Sequential model, trained or not.
        print_fn: called with each table in place of `print`.

    Raises:
        TypeError, ValueError: as `kbnn.converters.freeze`.

    >>> import kbnn
    >>> kbnn.models.summary(kbnn.models.vgg_tiny(width=8))      # doctest: +ELLIPSIS
    +vgg_tiny stats...
    """
    lq.models.summary(freeze(model), print_fn=print_fn)
