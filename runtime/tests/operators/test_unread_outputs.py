"""An operator whose output nobody reads gets no memory for it, and is skipped."""

import numpy as np
import pytest
from delegates import run
from operator_models import Convolution, Node, Tensor, graph_model
from reference import convolve, pack

POOL = {"filter_height": 2, "filter_width": 2, "stride_height": 2, "stride_width": 2, "padding": 1}


@pytest.mark.parametrize("fusion", ["on", "off"])
@pytest.mark.parametrize("threads", [1, 2])
def test_unread_outputs(fusion, threads):
    rng = np.random.default_rng(0)
    filters, inputs = (rng.choice([-1, 1], shape) for shape in ((40, 3, 3, 64), (3, 6, 5, 64)))
    convolution = Convolution(
        filters=filters,
        channels_in=64,
        padding="zero",
        multiplier=np.ones(40, np.float32),
        bias=np.zeros(40, np.float32),
        input_size=(6, 5),
    )
    image, words = Tensor((1, 6, 5, 40), np.float32), Tensor((1, 6, 5, 2), np.int32)
    bits = Tensor((1, 6, 5, 64), np.float32)
    pooled = Tensor((1, 3, 2, 2), np.int32)
    options = convolution.options()
    tensors = [*convolution.inputs(), image, image, words, image, bits, pooled, image, words]
    nodes = [
        Node("LceBconv2d", [0, 1, 2, 3, 4], [5], options),
        Node("LceBconv2d", [0, 1, 2, 3, 4], [6], options),
        Node("LceQuantize", [5], [7]),
        Node("ADD", [5, 5], [8]),
        Node("LceDequantize", [0], [9]),
        Node("LceBMaxPool2d", [0], [10], POOL),
        Node("ADD", [6, 5], [11]),
        Node("LceQuantize", [11], [12]),
    ]
    model = graph_model(tensors, nodes, [8])
    output = run(model, pack(inputs), fusion=fusion, num_threads=threads)
    np.testing.assert_array_equal(output, 2 * convolve(convolution, inputs))
