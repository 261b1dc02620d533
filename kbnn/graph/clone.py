"""Makes an instance of a quantizer for each layer."""

from typing import Any

from kbnn import _checks
from kbnn._larq import get_quantizer


def clone(quantizer: Any, name: str) -> Any:
    """Make a new instance of a quantizer, for one layer.

    Layers cannot share a quantizer with state (a sharpness, a mapping network). The quantizers of
    one layer need different names, or the legacy `.h5` format mixes up their weights.

    Args:
        quantizer: a Larq quantizer, its alias, its config, a plain function (which has no state and
            is returned unchanged) or None.
        name: name of the new instance.

    Returns:
        A new quantizer of the same class and configuration; None for None.

    Raises:
        ValueError: the alias is unknown.
        TypeError: the quantizer is a layer of Keras 3, or cannot be called.

    Example:
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
        return get_quantizer(quantizer)
    except ValueError as error:
        raise ValueError(
            'Expected `quantizer` to be the name of a registered quantizer, as "ste_sign", or its '
            f"config. Received: quantizer={quantizer!r}"
        ) from error
