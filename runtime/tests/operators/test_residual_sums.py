"""Binary convolutions fused with the ADD and the LceQuantize after them give the same bits."""

import dataclasses

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, load_delegate
from delegates import library
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_models import Convolution, Node, Tensor, graph_model
from reference import convolve, pack
from test_bconv2d import convolutions, signs

FEW = settings(max_examples=120, deadline=None)


def network(model: bytes, **options: str) -> Interpreter:
    delegate = load_delegate(library(), options)
    return Interpreter(model_content=model, experimental_delegates=[delegate])


def run(subject: Interpreter, *values: np.ndarray) -> list[np.ndarray]:
    """Resize the model to these inputs, and return all outputs."""
    given = [details["index"] for details in subject.get_input_details()]
    for index, value in zip(given, values, strict=True):
        subject.resize_tensor_input(index, value.shape)
    subject.allocate_tensors()
    for index, value in zip(given, values, strict=True):
        subject.set_tensor(index, value)
    subject.invoke()
    return [subject.get_tensor(details["index"]) for details in subject.get_output_details()]


def is_fused(subject: Interpreter, tensor: int) -> bool:
    """Return whether an intermediate tensor has no memory after a run."""
    try:
        subject.get_tensor(tensor)
    except ValueError:
        return True
    return False


def delegate_nodes(subject: Interpreter) -> int:
    """Return how many nodes the delegate and XNNPACK run."""
    return [details["op_name"] for details in subject._get_ops_details()].count("DELEGATE")


CONVOLVED = 5  # the convolution's output in `residual_model`


@FEW
@given(
    case=convolutions(),
    threads=st.sampled_from(["1", "1", "2", "3"]),
    residual_first=st.booleans(),
    with_signs=st.booleans(),
    one_image=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_sum_is_the_reference(
    case, threads, residual_first, with_signs, one_image, seed, every_kernels
):
    convolution, inputs = case
    convolution = dataclasses.replace(convolution, output="float32")
    convolved = convolve(convolution, inputs)
    shape = (1, *convolved.shape[1:]) if one_image else convolved.shape
    random = np.random.default_rng(seed)
    residual = random.normal(size=shape).astype(np.float32) * 10
    # Sums of exactly zero, whose sign is +1.
    opposite = -(convolved[:1] if one_image else convolved)
    residual = np.where(random.random(shape) < 0.2, opposite, residual)
    special = np.array([np.nan, -np.nan, np.inf, -np.inf], np.float32)
    residual = np.where(random.random(shape) < 0.05, random.choice(special, shape), residual)
    expected = convolved + residual
    model = convolution.residual_model(
        convolved.shape[1:3], residual_first=residual_first, signs=with_signs
    )
    for kernels in every_kernels:
        subject = network(model, kernels=kernels, num_threads=threads)
        outputs = run(subject, pack(inputs), residual)
        assert delegate_nodes(subject) == 1
        np.testing.assert_array_equal(outputs[0], expected, err_msg=kernels)
        if with_signs:
            np.testing.assert_array_equal(outputs[1], pack(expected), err_msg=kernels)


def case(channels: int = 40, **changes) -> tuple[Convolution, np.ndarray]:
    random = np.random.default_rng(channels)
    convolution = Convolution(
        filters=signs(random, (channels, 3, 3, 64)),
        channels_in=64,
        padding="zero",
        multiplier=random.normal(size=channels).astype(np.float32),
        bias=random.normal(size=channels).astype(np.float32),
        input_size=(6, 5),
    )
    return dataclasses.replace(convolution, **changes), signs(random, (1, 6, 5, 64))


@pytest.mark.parametrize("option", ["on", "off"])
def test_fusion_can_be_turned_off(option, kernels):
    convolution, inputs = case()
    residual = np.random.default_rng(1).normal(size=(1, 6, 5, 40)).astype(np.float32)
    subject = network(convolution.residual_model((6, 5)), fusion=option, kernels=kernels)
    sums, words = run(subject, pack(inputs), residual)
    np.testing.assert_array_equal(sums, convolve(convolution, inputs) + residual)
    np.testing.assert_array_equal(words, pack(sums))
    assert is_fused(subject, CONVOLVED) == (option == "on")
    # XNNPACK runs the remaining ADD.
    assert delegate_nodes(subject) == (1 if option == "on" else 3)


def test_larger_inputs_and_back(kernels):
    convolution, _ = case(33)
    subject = network(convolution.residual_model((6, 5)), kernels=kernels, num_threads="2")
    random = np.random.default_rng(2)
    for size in ((1, 6, 5), (4, 9, 11), (2, 1, 1), (1, 6, 5)):
        inputs = signs(random, (*size, 64))
        residual = random.normal(size=(*size, 33)).astype(np.float32)
        sums, words = run(subject, pack(inputs), residual)
        np.testing.assert_array_equal(sums, convolve(convolution, inputs) + residual)
        np.testing.assert_array_equal(words, pack(sums))


def test_a_chain_of_residual_blocks(kernels):
    """As in every residual network, the next block reads each sum twice."""
    convolution, inputs = case(64)
    image, words = Tensor((1, 6, 5, 64), np.float32), Tensor((1, 6, 5, 2), np.int32)
    tensors, nodes = [*convolution.inputs(), image], []
    packed, residual = 0, 5
    for _ in range(3):
        first = len(tensors)
        tensors += [image, image, words]
        nodes += [
            Node("LceBconv2d", [packed, 1, 2, 3, 4], [first], convolution.options()),
            Node("ADD", [first, residual], [first + 1]),
            Node("LceQuantize", [first + 1], [first + 2]),
        ]
        residual, packed = first + 1, first + 2
    model = graph_model(tensors, nodes, [residual, packed])
    subject = network(model, kernels=kernels, num_threads="2")
    values = np.random.default_rng(3).normal(size=(1, 6, 5, 64)).astype(np.float32)
    output, bits = run(subject, pack(inputs), values)
    for _ in range(3):
        values = convolve(convolution, inputs) + values
        inputs = np.where(values < 0, -1, 1)
    np.testing.assert_array_equal(output, values)
    np.testing.assert_array_equal(bits, pack(inputs))
    assert all(is_fused(subject, first) for first in (6, 9, 12))
    assert delegate_nodes(subject) == 3


def test_signs_are_fused_behind_another_reader_of_the_sum():
    convolution, inputs = case()
    image = Tensor((1, 6, 5, 40), np.float32)
    words = Tensor((1, 6, 5, 2), np.int32)
    nodes = [
        Node("LceBconv2d", [0, 1, 2, 3, 4], [5], convolution.options()),
        Node("ADD", [5, 6], [7]),
        Node("ADD", [7, 6], [8]),
        Node("LceQuantize", [7], [9]),
    ]
    tensors = [*convolution.inputs(), image, image, image, image, words]
    residual = residual_of((1, 6, 5, 40))
    subject = network(graph_model(tensors, nodes, [8, 9]))
    twice, packed = run(subject, pack(inputs), residual)
    total = convolve(convolution, inputs) + residual
    np.testing.assert_array_equal(twice, total + residual)
    np.testing.assert_array_equal(packed, pack(total))
    assert delegate_nodes(subject) == 2


def test_images_may_be_free():
    """As in every model that is converted from Keras."""
    convolution, _ = case()
    image = Tensor((1, 6, 5, 40), np.float32, signature=(-1, 6, 5, 40))
    nodes = [
        Node("LceBconv2d", [0, 1, 2, 3, 4], [5], convolution.options()),
        Node("ADD", [5, 6], [7]),
    ]
    subject = network(graph_model([*convolution.inputs(), image, image, image], nodes, [7]))
    inputs = signs(np.random.default_rng(6), (3, 6, 5, 64))
    residual = residual_of((3, 6, 5, 40))
    (sums,) = run(subject, pack(inputs), residual)
    np.testing.assert_array_equal(sums, convolve(convolution, inputs) + residual)
    assert is_fused(subject, CONVOLVED)


def residual_of(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(5).normal(size=shape).astype(np.float32)


FREE = (-1, -1, -1, 40)
IMAGES_FREE = (-1, 6, 5, 40)


@pytest.mark.parametrize(
    "variant",
    [
        *("activation", "output", "two_users", "itself", "repeated", "images", "vector"),
        *("free", "signature", "images_signature"),
    ],
)
def test_other_graphs_are_not_fused(variant):
    """Fusing these would give wrong results or an error."""
    convolution, inputs = case()
    shape = (1, 6, 5, 40)
    residual_shape = {"repeated": (1, 1, 1, 40), "images": (2, 6, 5, 40), "vector": (40,)}
    residual = residual_of(residual_shape.get(variant, shape))
    convolved = convolve(convolution, inputs)
    image = Tensor(shape, np.float32, signature=FREE if variant == "free" else None)
    added = Tensor(
        residual.shape,
        np.float32,
        signature={"signature": FREE, "images_signature": IMAGES_FREE}.get(variant),
    )
    tensors = [*convolution.inputs(), image, added, image]
    convolution_node = Node("LceBconv2d", [0, 1, 2, 3, 4], [5], convolution.options())
    nodes, outputs = [convolution_node, Node("ADD", [5, 6], [7])], [7]
    expected = [convolved + residual]
    if variant == "activation":
        nodes[1].options = {"relu": 1}
        expected = [np.maximum(expected[0], 0)]
    elif variant == "output":
        outputs, expected = [7, 5], [*expected, convolved]
    elif variant == "two_users":
        tensors.append(image)
        nodes.append(Node("ADD", [5, 7], [8]))
        outputs, expected = [8], [convolved + expected[0]]
    elif variant == "itself":
        nodes[1].inputs = [5, 5]
        tensors[6] = Tensor.constant(residual)
        expected = [convolved + convolved]
    elif variant == "images_signature":
        residual = residual_of((3, 6, 5, 40))
        expected = [convolved + residual]
    subject = network(graph_model(tensors, nodes, outputs))
    given = [pack(inputs)] if variant == "itself" else [pack(inputs), residual]
    for output, values in zip(run(subject, *given), expected, strict=True):
        np.testing.assert_array_equal(output, values)
    assert not is_fused(subject, CONVOLVED)


def test_signs_are_not_fused_if_only_they_read_the_sum():
    """The interpreter allocates no sum, so it cannot be fused. Its signs must be right."""
    convolution, inputs = case()
    image = Tensor((1, 6, 5, 40), np.float32)
    words = Tensor((1, 6, 5, 2), np.int32)
    nodes = [
        Node("LceBconv2d", [0, 1, 2, 3, 4], [5], convolution.options()),
        Node("ADD", [5, 6], [7]),
        Node("LceQuantize", [7], [8]),
    ]
    model = graph_model([*convolution.inputs(), image, image, image, words], nodes, [8])
    residual = residual_of((1, 6, 5, 40))
    subject = network(model)
    (packed,) = run(subject, pack(inputs), residual)
    np.testing.assert_array_equal(packed, pack(convolve(convolution, inputs) + residual))
    assert is_fused(subject, CONVOLVED)
    assert delegate_nodes(subject) == 2


def test_int8_sums_are_not_fused():
    convolution, inputs = case(output="int8", quantization=(0.5, 0))
    stored = Tensor((1, 6, 5, 40), np.int8, quantization=(0.5, 0))
    nodes = [
        Node("LceBconv2d", [0, 1, 2, 3, 4], [5], convolution.options()),
        Node("ADD", [5, 6], [7]),
    ]
    subject = network(graph_model([*convolution.inputs(), stored, stored, stored], nodes, [7]))
    residual = np.random.default_rng(8).integers(-60, 60, (1, 6, 5, 40)).astype(np.int8)
    (sums,) = run(subject, pack(inputs), residual)
    exact = convolve(convolution, inputs).astype(int) + residual
    np.testing.assert_array_equal(sums, np.clip(exact, -128, 127))


def test_a_residual_from_the_same_bits():
    """The shortcut's convolution runs between the first convolution and the ADD of both."""
    convolution, inputs = case()
    image = Tensor((1, 6, 5, 40), np.float32)
    nodes = [
        Node("LceBconv2d", [0, 1, 2, 3, 4], [5], convolution.options()),
        Node("LceBconv2d", [0, 1, 3, 2, 4], [6], convolution.options()),
        Node("ADD", [5, 6], [7]),
    ]
    subject = network(graph_model([*convolution.inputs(), image, image, image], nodes, [7]))
    (sums,) = run(subject, pack(inputs))
    swapped = dataclasses.replace(
        convolution, multiplier=convolution.bias, bias=convolution.multiplier
    )
    np.testing.assert_array_equal(sums, convolve(convolution, inputs) + convolve(swapped, inputs))


@pytest.mark.parametrize("size", [(1, 7, 5), (1, 6, 4), (3, 6, 5), (1, 1, 1)])
def test_residuals_of_other_shapes_are_refused(size):
    convolution, inputs = case()
    subject = network(convolution.residual_model((6, 5)))
    with pytest.raises(RuntimeError, match=r"Expected LceBconv2d's residual .* fusion=off"):
        run(subject, pack(np.repeat(inputs, 2, axis=0)), residual_of((*size, 40)))


def test_a_residual_computed_between_convolution_and_add():
    convolution, _ = case()
    subject = network(convolution.residual_model((6, 5)))
    with pytest.raises((RuntimeError, ValueError)):
        subject.invoke()
