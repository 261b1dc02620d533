"""Write the models and inputs that every platform's wheel runs: `cases.py FOLDER`.

They cover all operators, and a trained network.
"""

import pathlib
import sys

import numpy as np
from compare_results import NETWORK

RUNTIME = pathlib.Path(__file__).resolve().parents[1]
ROOT = RUNTIME.parent
# The models of the tests of operators.
sys.path.insert(0, str(RUNTIME / "tests" / "operators"))

from operator_models import Convolution, Node, Tensor, graph_model, operator_model
from reference import pack


def write_cases(folder: pathlib.Path) -> None:
    """Write `NAME.tflite` and `NAME.npy`, a model and its input, for each case."""
    folder.mkdir(parents=True, exist_ok=True)
    cases = {**_operators(), **_convolutions(), "residual_blocks": residual_blocks(), **_network()}
    for name, (model, values) in cases.items():
        (folder / f"{name}.tflite").write_bytes(model)
        np.save(folder / f"{name}.npy", values, allow_pickle=False)


def _operators() -> dict[str, tuple[bytes, np.ndarray]]:
    random = np.random.default_rng(0)
    image = (2, 9, 7, 70)
    real = random.normal(size=image).astype(np.float32)
    # Values on which processors differ: signed zeros, denormal numbers, infinities and NaN.
    special = np.array([0.0, -0.0, 1e-45, -1e-45, -1e-39, np.inf, -np.inf, np.nan], np.float32)
    real.reshape(-1)[: 50 * len(special)] = np.tile(special, 50)
    bytes_ = random.integers(-128, 128, image).astype(np.int8)
    words = pack(real)
    flat = (1,) * 4
    pooling = {
        "filter_height": 3,
        "filter_width": 2,
        "stride_height": 2,
        "stride_width": 2,
        "padding": 0,
        "channels_in": image[-1],
    }

    def one(name: str, given: np.ndarray, output: Tensor, options=b"", quantization=None) -> bytes:
        inputs = [Tensor((1, *given.shape[1:]), given.dtype, quantization=quantization)]
        return operator_model(name, inputs, output, options)

    packed = Tensor(flat, np.int32)
    stored = Tensor((1, *image[1:]), np.int8, quantization=(0.25, 3))
    return {
        "quantize_float32": (one("LceQuantize", real, packed), real),
        "quantize_int8": (one("LceQuantize", bytes_, packed, quantization=(0.1, -5)), bytes_),
        "quantize_bool": (one("LceQuantize", real > 0, packed), real > 0),
        "dequantize_float32": (
            one("LceDequantize", words, Tensor((1, *image[1:]), np.float32)),
            words,
        ),
        "dequantize_int8": (one("LceDequantize", words, stored), words),
        "max_pool": (one("LceBMaxPool2d", words, packed, pooling), words),
    }


def _convolutions() -> dict[str, tuple[bytes, np.ndarray]]:
    """Convolutions with all output types, paddings and activations, and with partial tiles."""
    cases = {}
    for i, (output, padding, activation, channels_in, channels, size, stride) in enumerate(
        [
            ("float32", "one", "none", 64, 64, 3, 1),
            ("float32", "zero", "relu", 70, 37, 3, 2),
            ("float32", "valid", "relu6", 33, 5, 2, 1),
            ("float32", "one", "none", 256, 128, 1, 1),
            ("int8", "zero", "relu_n1_to_1", 96, 40, 3, 1),
            ("int8", "one", "none", 128, 65, 3, 2),
            ("packed", "one", "none", 64, 64, 3, 1),
            ("packed", "valid", "none", 200, 130, 5, 3),
            ("packed", "one", "none", 512, 32, 1, 1),
        ]
    ):
        random = np.random.default_rng(i)
        products = size * size * channels_in
        convolution = Convolution(
            filters=_signs(random, (channels, size, size, channels_in)),
            channels_in=channels_in,
            strides=(stride, stride),
            padding=padding,
            activation=activation,
            multiplier=random.normal(size=channels).astype(np.float32),
            bias=random.normal(size=channels).astype(np.float32),
            thresholds=random.integers(0, products, channels),
            output=output,
            quantization=(0.25, -7) if output == "int8" else None,
        )
        inputs = pack(_signs(random, (2, 11, 8, channels_in)))
        name = f"{output}_{padding}_{activation}_{size}x{size}x{channels_in}x{channels}"
        cases[name] = (_model(convolution, inputs), inputs)
    random = np.random.default_rng(99)
    grouped = Convolution(
        filters=_signs(random, (48, 3, 3, 64)),
        channels_in=192,
        dilations=(2, 1),
        padding="one",
        multiplier=random.normal(size=48).astype(np.float32),
        bias=random.normal(size=48).astype(np.float32),
    )
    inputs = pack(_signs(random, (1, 12, 12, 192)))
    cases["grouped_and_dilated"] = (_model(grouped, inputs), inputs)
    return cases


def residual_blocks() -> tuple[bytes, np.ndarray]:
    """Two binary convolutions, each with a shortcut, and real-valued images for them."""
    channels = 70
    random = np.random.default_rng(7)
    images = random.normal(size=(2, 9, 7, channels)).astype(np.float32)
    convolution = Convolution(
        filters=_signs(random, (channels, 3, 3, channels)),
        channels_in=channels,
        padding="one",
        multiplier=random.normal(size=channels).astype(np.float32) / 25,
        bias=random.normal(size=channels).astype(np.float32),
    )
    image = Tensor((1, *images.shape[1:]), np.float32)
    words = Tensor((1, *images.shape[1:3], -(-channels // 32)), np.int32)
    _, *constants = convolution.inputs()
    tensors, nodes, shortcut = [image, *constants], [], 0
    for _ in range(2):
        first = len(tensors)
        tensors += [words, image, image]
        nodes += [
            Node("LceQuantize", [shortcut], [first]),
            Node("LceBconv2d", [first, 1, 2, 3, 4], [first + 1], convolution.options()),
            Node("ADD", [shortcut, first + 1], [first + 2]),
        ]
        shortcut = first + 2
    return graph_model(tensors, nodes, [shortcut]), images


def _model(convolution: Convolution, inputs: np.ndarray) -> bytes:
    """The model of a convolution, made for one image of the size of `inputs`."""
    channels = convolution.filters.shape[0]
    dtype = {"float32": np.float32, "int8": np.int8, "packed": np.int32}[convolution.output]
    constants = [
        (convolution.multiplier, np.float32),
        (convolution.bias, np.float32),
        (convolution.thresholds, np.int32),
    ]
    tensors = [
        Tensor((1, *inputs.shape[1:]), np.int32),
        Tensor.constant(pack(convolution.filters)),
        *(
            Tensor.constant((np.zeros(channels) if given is None else given).astype(kind))
            for given, kind in constants
        ),
    ]
    output = Tensor((1, 1, 1, 1), dtype, quantization=convolution.quantization)
    return operator_model("LceBconv2d", tensors, output, convolution.options())


def _network() -> dict[str, tuple[bytes, np.ndarray]]:
    model = (ROOT / "examples" / NETWORK / "model.tflite").read_bytes()
    sample = ROOT / "kbnn" / "data" / "fashion_mnist_sample.npz"
    with np.load(sample, allow_pickle=False) as arrays:
        return {NETWORK: (model, arrays["x_test"][:64, ..., None])}


def _signs(random: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return 1 - 2 * random.integers(0, 2, shape)


if __name__ == "__main__":
    write_cases(pathlib.Path(sys.argv[1]))
