"""Models for tests, one for each property in which models differ."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from model_builder import ModelBuilder

HEIGHT, WIDTH, CLASSES = 4, 6, 3
IMAGE = (1, HEIGHT, WIDTH, 1)
_PIXELS = HEIGHT * WIDTH


def weights() -> np.ndarray:
    """Return the kernel of `classifier`, (classes, pixels), with small integer values."""
    return np.random.default_rng(5).integers(-3, 4, (CLASSES, _PIXELS)).astype(np.float32)


def classifier(
    dtype: str = "uint8",
    *,
    channels: int = 1,
    reshape_batch: int = -1,
    kernel: np.ndarray | None = None,
) -> bytes:
    """Images (n, 4, 6, channels) to the logits weights() @ pixels.

    Args:
        dtype: Of the images.
        channels: Of the images; the mean over them is taken.
        reshape_batch: The first size that the images are reshaped to. -1 follows the batch; with
            1 the model cannot be resized.
        kernel: In place of weights().
    """
    model = ModelBuilder()
    image = model.tensor("image:0", (*IMAGE[:3], channels), dtype)
    real = image
    if dtype != "float32":
        real = model.tensor("real", (*IMAGE[:3], channels))
        model.operator("CAST", [image], [real])
    gray = model.tensor("gray", IMAGE)
    axis = model.tensor("axis", (1,), "int32", data=[3])
    mean = schema.ReducerOptionsT()
    mean.keepDims = True
    model.operator("MEAN", [real, axis], [gray], mean)
    flat = model.tensor("flat", (1, _PIXELS))
    size = model.tensor("size", (2,), "int32", data=[reshape_batch, _PIXELS])
    model.operator("RESHAPE", [gray, size], [flat], schema.ReshapeOptionsT())
    values = weights() if kernel is None else kernel
    constant = model.tensor("kernel", (CLASSES, _PIXELS), data=values)
    logits = model.tensor("logits:0", (1, CLASSES))
    model.operator(
        "FULLY_CONNECTED", [flat, constant, -1], [logits], schema.FullyConnectedOptionsT()
    )
    return model.build([image], [logits], ({"image": image}, {"logits": logits}))


def flattened() -> bytes:
    """(n, 4) reshaped to one row, whatever n is."""
    model = ModelBuilder()
    given = model.tensor("x", (1, 4))
    size = model.tensor("size", (2,), "int32", data=[1, -1])
    flat = model.tensor("y", (1, 4))
    model.operator("RESHAPE", [given, size], [flat], schema.ReshapeOptionsT())
    return model.build([given], [flat])


def halves() -> bytes:
    """(n, 4) reshaped to (2 n, 2): two rows for each example."""
    model = ModelBuilder()
    given = model.tensor("x", (1, 4))
    size = model.tensor("size", (2,), "int32", data=[-1, 2])
    rows = model.tensor("y", (2, 2))
    model.operator("RESHAPE", [given, size], [rows], schema.ReshapeOptionsT())
    return model.build([given], [rows])


def total() -> bytes:
    """(n, 4) to the sum of all, a scalar."""
    model = ModelBuilder()
    given = model.tensor("x", (1, 4))
    axes = model.tensor("axes", (2,), "int32", data=[0, 1])
    scalar = model.tensor("y", ())
    model.operator("SUM", [given, axes], [scalar], schema.ReducerOptionsT())
    return model.build([given], [scalar])


def pairs(batch: int = 1) -> bytes:
    """a (n, 4) and b (n, 4) to their sum and their product, made for batches of `batch`."""
    model = ModelBuilder()
    a, b = (model.tensor(name, (batch, 4)) for name in "ab")
    total, product = (model.tensor(name, (batch, 4)) for name in ("total", "product"))
    model.operator("ADD", [a, b], [total], schema.AddOptionsT())
    model.operator("MUL", [a, b], [product], schema.MulOptionsT())
    return model.build([a, b], [total, product])


def fixed_pairs(batch: int) -> bytes:
    """x (batch, 4), doubled and reshaped to (batch, 2, 2): it cannot be resized."""
    model = ModelBuilder()
    given = model.tensor("x", (batch, 4))
    double = model.tensor("double", (batch, 4))
    model.operator("ADD", [given, given], [double], schema.AddOptionsT())
    size = model.tensor("size", (3,), "int32", data=[batch, 2, 2])
    squares = model.tensor("y", (batch, 2, 2))
    model.operator("RESHAPE", [double, size], [squares], schema.ReshapeOptionsT())
    return model.build([given], [squares])


def any_size() -> bytes:
    """Images (n, height, width, 1) of any size to their means, (n, 1)."""
    model = ModelBuilder()
    image = model.tensor("image", (1, 1, 1, 1), signature=(-1, -1, -1, 1))
    axes = model.tensor("axes", (2,), "int32", data=[1, 2])
    mean = model.tensor("mean", (1, 1), signature=(-1, 1))
    model.operator("MEAN", [image, axes], [mean], schema.ReducerOptionsT())
    return model.build([image], [mean])


def any_size_from_3() -> bytes:
    """Images (n, height, width, 1) of at least 3 x 3 to the means of their 3 x 3 sums, (n, 1)."""
    model = ModelBuilder()
    free = (-1, -1, -1, 1)
    image = model.tensor("image", (1, 1, 1, 1), signature=free)
    kernel = model.tensor("kernel", (1, 3, 3, 1), data=np.ones(9))
    bias = model.tensor("bias", (1,), data=[0])
    sums = model.tensor("sums", (1, 1, 1, 1), signature=free)
    options = schema.Conv2DOptionsT()
    options.padding, options.strideH, options.strideW = schema.Padding.VALID, 1, 1
    model.operator("CONV_2D", [image, kernel, bias], [sums], options)
    axes = model.tensor("axes", (2,), "int32", data=[1, 2])
    mean = model.tensor("mean", (1, 1), signature=(-1, 1))
    model.operator("MEAN", [sums, axes], [mean], schema.ReducerOptionsT())
    return model.build([image], [mean])


def quantized() -> bytes:
    """Real (n, 4) to int8, real = 0.5 * (stored + 3)."""
    model = ModelBuilder()
    given = model.tensor("x", (1, 4))
    stored = model.tensor("y", (1, 4), "int8", quantization=(0.5, -3))
    model.operator("QUANTIZE", [given], [stored], schema.QuantizeOptionsT())
    return model.build([given], [stored])
