"""Binary convolutions become LCE's."""

import dataclasses
from typing import Any

import numpy as np

from kbnn.converters.writer.composites import CONVOLUTION, Convolution
from kbnn.converters.writer.file_graph import FileGraph, Operator

BCONV2D = "LceBconv2d"

# Values of TensorFlow Lite's enumerations.
PADDING = {"same": 0, "valid": 1}
ACTIVATIONS = {"NONE": 0, "RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}


@dataclasses.dataclass
class BinaryConvolution:
    """A binary convolution of the file.

    Attributes:
        operator: the `LceBconv2d`. Its inputs are packed signs and packed filters, then multiplier,
            bias and thresholds, which `pack_outputs` or `fold_outputs` fill in.
        convolution: what it computes.
    """

    operator: Operator
    convolution: Convolution

    @property
    def scale(self) -> np.ndarray:
        """Alpha of each output channel, float32."""
        return np.abs(self.convolution.kernel[0, 0, 0]).astype(np.float32)

    @property
    def is_packed(self) -> bool:
        """Whether the output is packed signs, which thresholds decide."""
        return self.operator.inputs[4] >= 0

    def set_constants(
        self,
        graph: FileGraph,
        *,
        flip: np.ndarray | None = None,
        multiplier: np.ndarray | None = None,
        bias: np.ndarray | None = None,
        thresholds: np.ndarray | None = None,
    ) -> None:
        """Write the filters and the constants of the output.

        Args:
            graph: the file.
            flip: for each output channel whether its filters change their signs.
            multiplier: float32, one for each output channel; likewise the others.
            bias: float32.
            thresholds: int32.
        """
        kernel = self.convolution.kernel
        if flip is not None:
            kernel = np.where(flip, -kernel, kernel)
        constants = {
            "filters": pack_filters(kernel),
            "multiplier": multiplier,
            "bias": bias,
            "thresholds": thresholds,
        }
        name = self.convolution.name
        self.operator.inputs[1:] = [
            -1 if values is None else graph.add_constant(f"{name}/{what}", values)
            for what, values in constants.items()
        ]


def lower_convolutions(
    graph: FileGraph, convolutions: list[Convolution]
) -> list[BinaryConvolution]:
    """Turn each marked convolution into an `LceBconv2d`, still without its constants."""
    found = []
    for operator in graph.operators:
        if operator.name == CONVOLUTION:
            convolution = convolutions[operator.options["number"]]
            operator.name, operator.source = BCONV2D, None
            operator.options = _options(convolution)
            operator.inputs += [-1] * 4
            found.append(BinaryConvolution(operator, convolution))
    return found


def pack_filters(kernel: np.ndarray) -> np.ndarray:
    """Pack filters as LCE does: int32 words, bit 1 means a negative weight, lowest bit first.

    Args:
        kernel: `(height, width, channels, out)`.

    Returns:
        `(out, height, width, ceil(channels / 32))`, int32.
    """
    bits = np.packbits(np.transpose(kernel < 0, (3, 0, 1, 2)), axis=-1, bitorder="little")
    missing = -bits.shape[-1] % 4
    padded = np.pad(bits, [(0, 0)] * 3 + [(0, missing)])
    return np.ascontiguousarray(padded).view("<i4")


def _options(convolution: Convolution) -> dict[str, Any]:
    (stride_height, stride_width), (dilation_height, dilation_width) = (
        convolution.strides,
        convolution.dilation,
    )
    return {
        "channels_in": convolution.channels,
        "dilation_height_factor": dilation_height,
        "dilation_width_factor": dilation_width,
        "fused_activation_function": ACTIVATIONS["NONE"],
        "pad_values": convolution.pad_value,
        "padding": PADDING[convolution.padding],
        "stride_height": stride_height,
        "stride_width": stride_width,
    }
