"""Corrupt files raise an error. They never crash the process or allocate unlimited memory."""

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from delegates import interpreter
from flatbuffers import flexbuffers
from operator_models import Convolution, Tensor, operator_model
from reference import pack

LARGEST = 2**31 - 1


def convolution(**changes) -> Convolution:
    given = {
        "filters": np.ones((8, 3, 3, 64), int),
        "channels_in": 64,
        "multiplier": np.ones(8),
        "bias": np.zeros(8),
        "thresholds": np.zeros(8, int),
    }
    return Convolution(**{**given, **changes})


def load(model: bytes, shape: tuple[int, ...] | None = None) -> None:
    network = interpreter(model)
    if shape is not None:
        network.resize_tensor_input(network.get_input_details()[0]["index"], shape)
    network.allocate_tensors()


def test_the_valid_convolution_loads():
    load(convolution().model(), (1, 5, 5, 2))


@pytest.mark.parametrize("value", [0, -1, -LARGEST])
@pytest.mark.parametrize(
    "option",
    [
        "stride_height",
        "stride_width",
        "dilation_height_factor",
        "dilation_width_factor",
        "channels_in",
    ],
)
def test_sizes_below_one(option, value):
    message = f"Expected LceBconv2d to have {option} from 1 to .* Received {value}"
    with pytest.raises(RuntimeError, match=message):
        load(convolution().model(**{option: value}), (1, 5, 5, 2))


@pytest.mark.parametrize("value", [-1, 4, LARGEST, 2**40, -(2**40)])
@pytest.mark.parametrize("option", ["padding", "pad_values", "fused_activation_function"])
def test_unknown_choices(option, value):
    with pytest.raises(RuntimeError, match=f"Expected LceBconv2d to have .*{option}"):
        load(convolution().model(**{option: value}), (1, 5, 5, 2))


def with_options(options: bytes | dict) -> bytes:
    subject = convolution()
    inputs = [
        Tensor((1, 5, 5, 2), np.int32),
        Tensor.constant(pack(subject.filters)),
        Tensor.constant(np.ones(8, np.float32)),
        Tensor.constant(np.zeros(8, np.float32)),
        Tensor.constant(np.zeros(8, np.int32)),
    ]
    return operator_model("LceBconv2d", inputs, Tensor((1, 1, 1, 1), np.float32), options)


@pytest.mark.parametrize("missing", convolution().options())
def test_missing_and_non_integer_options(missing):
    options = convolution().options()
    del options[missing]
    for value in ({}, {missing: "text"}, {missing: 1.5}, {missing: None}, {missing: [1]}):
        with pytest.raises(RuntimeError, match=f"integer option {missing}"):
            load(with_options({**options, **value}))


def test_corrupt_options():
    sound = bytes(flexbuffers.Dumps(convolution().options()))
    random = np.random.default_rng(0)
    outcomes = set()
    for length in range(len(sound)):
        outcomes.add(loads(with_options(sound[:length])))
    for _ in range(2000):
        corrupt = bytearray(sound)
        for _ in range(random.integers(1, 4)):
            corrupt[random.integers(len(sound))] = random.integers(256)
        outcomes.add(loads(with_options(bytes(corrupt))))
    assert outcomes == {True, False}


def loads(model: bytes) -> bool:
    try:
        load(model)
    except (RuntimeError, ValueError):
        return False
    return True


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_options_of_any_width_are_read(width):
    # All values of a map have the width of the widest one.
    wide = {"zz_unused": {1: 1, 2: 2**10, 4: 2**20, 8: 2**40}[width]}
    load(with_options({**convolution().options(), **wide}))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 5, 5), "rank 4"),
        ((1, 5, 5, 2, 1), "rank 4"),
        ((1, 5, 5, 3), "2 words for 64 channels"),
        ((1, 0, 5, 2), "sizes above 0"),
        ((1, 5, 5, 0), "sizes above 0"),
        ((1, 2, 5, 2), "to fit the input"),
        ((1, 5, 2, 2), "to fit the input"),
    ],
)
def test_inputs_of_another_shape(shape, message):
    with pytest.raises(RuntimeError, match=message):
        load(convolution().model(), shape)


def test_an_empty_batch():
    network = interpreter(convolution().model())
    network.resize_tensor_input(network.get_input_details()[0]["index"], (0, 5, 5, 2))
    network.allocate_tensors()
    network.invoke()
    assert network.get_tensor(network.get_output_details()[0]["index"]).shape == (0, 3, 3, 8)


@pytest.mark.parametrize("padding", ["valid", "one", "zero"])
@pytest.mark.parametrize("strides", [(1, 1), (1, LARGEST), (LARGEST, LARGEST)])
@pytest.mark.parametrize("dilations", [(1, LARGEST), (LARGEST, 1), (LARGEST, LARGEST)])
def test_the_largest_strides_and_dilations(strides, dilations, padding):
    subject = convolution(strides=strides, dilations=dilations, padding=padding)
    if padding == "valid":
        with pytest.raises(RuntimeError, match="to fit the input"):
            load(subject.model(), (1, 5, 5, 2))
        return
    network = interpreter(subject.model())
    network.resize_tensor_input(network.get_input_details()[0]["index"], (1, 5, 5, 2))
    network.allocate_tensors()
    network.invoke()


def constants(**changes: Tensor) -> bytes:
    given = {
        "input": Tensor((1, 5, 5, 2), np.int32),
        "filter": Tensor.constant(pack(convolution().filters)),
        "multiplier": Tensor.constant(np.ones(8, np.float32)),
        "bias": Tensor.constant(np.zeros(8, np.float32)),
        "thresholds": Tensor.constant(np.zeros(8, np.int32)),
    }
    output = changes.pop("output", Tensor((1, 1, 1, 1), np.float32))
    inputs = list({**given, **changes}.values())
    return operator_model("LceBconv2d", inputs, output, convolution().options())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"filter": Tensor.constant(np.ones((8, 3, 3, 2), np.float32))}, "filter to be int32"),
        ({"filter": Tensor.constant(np.ones((8, 3, 2), np.int32))}, "filter to have rank 4"),
        ({"filter": Tensor((8, 3, 3, 2), np.int32)}, "filter to be a constant"),
        ({"filter": Tensor.constant(np.ones((8, 3, 3, 3), np.int32))}, "to divide the input's 2"),
        ({"filter": Tensor.constant(np.ones((7, 3, 3, 1), np.int32))}, "2 groups"),
        ({"multiplier": Tensor.constant(np.ones(7, np.float32))}, "multiplier to have 8 values"),
        ({"multiplier": Tensor.constant(np.ones(8, np.int32))}, "multiplier to be float32"),
        ({"multiplier": Tensor((8,), np.float32)}, "multiplier to be a constant"),
        ({"bias": Tensor.constant(np.ones((8, 1), np.float32))}, "bias to have rank 1"),
        (
            {
                "thresholds": Tensor.constant(np.ones(7, np.int32)),
                "output": Tensor((1, 1, 1, 1), np.int32),
            },
            "thresholds to have 8 values",
        ),
        ({"output": Tensor((1, 1, 1, 1), np.bool_)}, "output to be float32, int8 or int32"),
        ({"output": Tensor((1, 1, 1, 1), np.int8)}, "scale above 0"),
        ({"input": Tensor((1, 5, 5, 2), np.float32)}, "input to be int32"),
    ],
)
def test_tensors_that_are_not_what_the_operator_reads(changes, message):
    with pytest.raises(RuntimeError, match=message):
        load(constants(**changes))


def test_too_few_and_too_many_tensors():
    tensors = [Tensor((1, 5, 5, 2), np.int32)] * 6
    for count in (1, 4, 6):
        model = operator_model(
            "LceBconv2d",
            tensors[:count],
            Tensor((1, 1, 1, 1), np.float32),
            convolution().options(),
        )
        with pytest.raises(RuntimeError, match="LceBconv2d to have 5 inputs"):
            load(model)
    with pytest.raises(RuntimeError, match="LceQuantize to have 1 inputs"):
        load(operator_model("LceQuantize", tensors[:2], Tensor((1,), np.int32)))


def leave_out(model: bytes, index: int) -> bytes:
    opened = schema.ModelT.InitFromPackedBuf(model, 0)
    inputs = list(range(5))
    inputs[index] = -1
    opened.subgraphs[0].operators[0].inputs = inputs
    builder = flatbuffers.Builder(1024)
    builder.Finish(opened.Pack(builder), b"TFL3")
    return bytes(builder.Output())


@pytest.mark.parametrize(
    ("dtype", "index"),
    [(np.float32, 0), (np.float32, 1), (np.float32, 2), (np.float32, 3), (np.int32, 4)],
)
def test_a_required_tensor_is_omitted(dtype, index):
    model = leave_out(constants(output=Tensor((1, 1, 1, 1), dtype)), index)
    with pytest.raises(RuntimeError, match=f"input {index} of LceBconv2d"):
        load(model)


@pytest.mark.parametrize(("dtype", "index"), [(np.float32, 4), (np.int32, 2), (np.int32, 3)])
def test_an_optional_tensor_is_omitted(dtype, index):
    # LCE's converter omits the multiplier and the bias for packed outputs.
    load(leave_out(constants(output=Tensor((1, 1, 1, 1), dtype)), index))


POOL = {"filter_height": 2, "filter_width": 2, "stride_height": 2, "stride_width": 2, "padding": 1}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"filter_height": 0}, "filter_height"),
        ({"filter_width": -1}, "filter_width"),
        ({"stride_height": 0}, "stride_height"),
        ({"stride_width": 0}, "stride_width"),
        ({"padding": 2}, "padding"),
        ({"filter_height": 6}, "to fit the input"),
        ({"filter_width": LARGEST}, "to fit the input"),
    ],
)
def test_impossible_max_pools(changes, message):
    inputs = [Tensor((1, 5, 5, 2), np.int32)]
    model = operator_model(
        "LceBMaxPool2d", inputs, Tensor((1, 1, 1, 2), np.int32), {**POOL, **changes}
    )
    with pytest.raises(RuntimeError, match=message):
        load(model)


@pytest.mark.parametrize(
    ("name", "given", "output", "message"),
    [
        (
            "LceQuantize",
            Tensor((2, 3), np.int32),
            Tensor((2, 1), np.int32),
            "float32, int8 or bool",
        ),
        ("LceQuantize", Tensor((2, 3), np.float32), Tensor((2, 1), np.float32), "to be int32"),
        ("LceQuantize", Tensor((), np.float32), Tensor((), np.int32), "rank 1 to 8"),
        ("LceDequantize", Tensor((2, 3), np.float32), Tensor((2, 3), np.float32), "to be int32"),
        ("LceDequantize", Tensor((2, 1), np.int32), Tensor((2, 3), np.int32), "float32, int8 or"),
        ("LceDequantize", Tensor((2, 2), np.int32), Tensor((2, 3), np.float32), "1 words for 3"),
        ("LceDequantize", Tensor((2, 1), np.int32), Tensor((2,), np.float32), "rank 2"),
        ("LceDequantize", Tensor((2, 1), np.int32), Tensor((2, 3), np.int8), "scale above 0"),
        ("LceDequantize", Tensor((), np.int32), Tensor((), np.float32), "rank 1 to 8"),
    ],
)
def test_impossible_quantization(name, given, output, message):
    with pytest.raises(RuntimeError, match=message):
        load(operator_model(name, [given], output))
