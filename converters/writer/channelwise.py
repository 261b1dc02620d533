"""Operators that compute each channel's values by themselves, with constants."""

from collections.abc import Callable

import numpy as np

from kbnn.converters.writer.file_graph import FileGraph, Operator

ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "RELU": lambda x: np.maximum(x, np.float32(0)),
    "RELU_N1_TO_1": lambda x: np.clip(x, np.float32(-1), np.float32(1)),
    "RELU6": lambda x: np.clip(x, np.float32(0), np.float32(6)),
}
"""Activations by the names of their operators."""

_FUSED = {0: None, 1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6"}

_BINARY: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "ADD": np.add,
    "SUB": np.subtract,
    "MUL": np.multiply,
    "DIV": np.divide,
    "MAXIMUM": np.maximum,
    "MINIMUM": np.minimum,
    "PRELU": lambda x, slope: np.where(x < 0, x * slope, x),
}


def compute(
    graph: FileGraph, operator: Operator, tensor: int, values: np.ndarray
) -> np.ndarray | None:
    """Compute an operator in float32, as a device does.

    Args:
        graph: the file.
        operator: an operator that takes the tensor.
        tensor: the tensor.
        values: values of the tensor, float32, with channels last.

    Returns:
        The output's values; None if the operator does more than combine each channel's values with
            constants.
    """
    if operator.name in ACTIVATIONS:
        return ACTIVATIONS[operator.name](values)
    if operator.name == "NEG":
        return -values
    if operator.name == "LEAKY_RELU":
        return np.where(
            values < 0, values * np.float32(operator.source.builtinOptions.alpha), values
        )
    constant = constant_operand(graph, operator, tensor)
    if constant is None:
        return None
    first = operator.inputs[0] == tensor
    operands = (values, constant) if first else (constant, values)
    with np.errstate(all="ignore"):
        result = _BINARY[operator.name](*operands)
    activation = fused_activation(operator)
    return result if activation is None else ACTIVATIONS[activation](result)


def constant_operand(graph: FileGraph, operator: Operator, tensor: int) -> np.ndarray | None:
    """The constant that an operator combines a tensor with, one value for all or each channel.

    It is None if the operator is not of this kind.
    """
    if operator.name not in _BINARY or operator.inputs.count(tensor) != 1:
        return None
    if operator.name == "PRELU" and operator.inputs[0] != tensor:
        return None
    (other,) = [one for one in operator.inputs if one != tensor]
    constant = graph.constant(other)
    shape = graph.shape(tensor)
    if (
        constant is None
        or constant.dtype != np.float32
        or graph.shape(operator.outputs[0]) != shape
    ):
        return None
    if constant.size == 1:
        return constant.reshape(1)
    return constant.reshape(-1) if constant.shape[-1] == constant.size == shape[-1] else None


def fused_activation(operator: Operator) -> str | None:
    """The activation that an operator applies to its result, by its operator's name.

    Raises:
        ValueError: an activation that converters never write here.
    """
    number = getattr(operator.source.builtinOptions, "fusedActivationFunction", 0)
    if number not in _FUSED:
        raise ValueError(f"Expected a fused activation from 0 to 3. Received: {number}")
    return _FUSED[number]
