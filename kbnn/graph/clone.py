"""One quantizer argument, one instance for each layer."""

from typing import Any

import larq as lq

from kbnn import _checks


def clone(quantizer: Any, name: str) -> Any:
    """Make a layer's own instance of a quantizer.

    A quantizer with state (a sharpness, a mapping network) cannot be shared by layers, and the
    quantizers of one layer need distinct names, or the legacy `.h5` format mixes up their weights.

    Args:
        quantizer: a Larq quantizer, its string alias, its serialised config, a plain function
            (which has no state and is returned as it is) or None.
        name: name of the new instance.

    Returns:
        A new quantizer of the same class and configuration; None for None.

    Raises:
        ValueError: an unknown alias.
        TypeError: the quantizer is a layer of Keras 3, or cannot be called.

    >>> import kbnn
    >>> kbnn.quantizers.clone("ste_sign", name="conv_1_input_quantizer").name
    'conv_1_input_quantizer'
    """
    if quantizer is None:
        return None
    resolved = _from_name(quantizer) if isinstance(quantizer, str | dict) else quantizer
    if not callable(resolved) or isinstance(resolved, type):
        raise TypeError(
            "Expected `quantizer` to be an instance of a Larq quantizer, a string, a function or "
            f"None. Received: quantizer={quantizer!r}"
        )
    if not hasattr(resolved, "get_config"):
        return resolved
    _checks.keras2_layer("quantizer", resolved)
    return type(resolved).from_config({**resolved.get_config(), "name": name})


def _from_name(quantizer: str | dict) -> Any:
    try:
        return lq.quantizers.get(quantizer)
    except ValueError as error:
        raise ValueError(
            'Expected `quantizer` to be the name of a registered quantizer, as "ste_sign", or its '
            f"config. Received: quantizer={quantizer!r}"
        ) from error
