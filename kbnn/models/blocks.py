"""What the binary architectures are built of."""

from collections.abc import Callable
from typing import Any, Literal

import larq as lq
import tf_keras as keras

from kbnn import _checks, layers, quantizers

# How an architecture normalizes: a name, or a function from a layer's name to the layer.
Normalization = Literal["batch", "binary"] | Callable[[str], keras.layers.Layer]

# Larq's constraint of latent weights, which it takes by this name too.
CLIP = "weight_clip"

# Keras's default momentum of 0.99 lags behind binary weights, which flip until late in training.
BATCH_NORM_MOMENTUM = 0.9


def image_input(input_shape: tuple[int, int, int], preprocessing: keras.layers.Layer | None) -> Any:
    """The input named `image`: float32, or uint8 (0 to 255) in front of a preprocessing layer.

    Returns:
        `(input tensor, tensor for the first layer)`.
    """
    shape = tuple(input_shape)
    if len(shape) != 3 or not all(isinstance(size, int) and size > 0 for size in shape):
        raise ValueError(
            "Expected `input_shape` to be (height, width, channels), three positive integers. "
            f"Received: input_shape={input_shape}"
        )
    if preprocessing is None:
        image = keras.Input(shape, name="image")
        return image, image
    _checks.keras2_layer("preprocessing", preprocessing)
    image = keras.Input(shape, name="image", dtype="uint8")
    return image, preprocessing(image)


def normalize(x: Any, normalization: Normalization, name: str, input_quantizer: Any) -> Any:
    """Apply the normalization layer that an architecture was asked for.

    `input_quantizer` is that of the layers behind it, which "binary" takes over.
    """
    if normalization == "batch":
        return keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=name)(x)
    if normalization == "binary":
        if input_quantizer is None:
            raise ValueError(
                'Expected an `input_quantizer` with normalization="binary", which applies it. '
                "Received: input_quantizer=None"
            )
        return layers.BinaryBatchNormalization(
            input_quantizer, momentum=BATCH_NORM_MOMENTUM, name=name
        )(x)
    is_function = callable(normalization) and not isinstance(normalization, keras.layers.Layer)
    if not is_function or isinstance(normalization, type):
        raise ValueError(
            'Expected `normalization` to be "batch", "binary" or a function that takes a name and '
            f"returns a layer. Received: normalization={normalization!r}"
        )
    layer = normalization(name)
    _checks.keras2_layer("normalization(name)", layer)
    return layer(x)


def convolution(
    x: Any,
    filters: int,
    size: int,
    name: str,
    *,
    strides: int = 1,
    normalization: Normalization,
    input_quantizer: Any,
) -> Any:
    """A real-valued convolution with "same" padding, and normalization named `<name>_bn`.

    `input_quantizer` is that of the layers behind it.
    """
    x = keras.layers.Conv2D(
        filters, size, strides=strides, padding="same", use_bias=False, name=name
    )(x)
    return normalize(x, normalization, f"{name}_bn", input_quantizer)


def stem(
    x: Any,
    filters: int,
    size: int,
    *,
    strides: int = 1,
    binary: bool,
    input_quantizer: Any,
    kernel_quantizer: Any,
    normalization: Normalization,
    **kernel: Any,
) -> Any:
    """The first convolution of a chain, named `stem`: real, or binary on an image of signs."""
    behind: dict[str, Any] = {"input_quantizer": input_quantizer, "normalization": normalization}
    if not isinstance(binary, bool):
        raise ValueError(f"Expected `binary_stem` to be True or False. Received: {binary!r}")
    if not binary:
        return convolution(x, filters, size, "stem", strides=strides, **behind)
    if input_quantizer is None or kernel_quantizer is None:
        raise ValueError(
            "Expected `input_quantizer` and `kernel_quantizer` with a binary stem. "
            f"Received: {input_quantizer=}, {kernel_quantizer=}"
        )
    x = layers.ThresholdEncoding(name="stem_encoding")(x)
    x = lq.layers.QuantConv2D(
        filters,
        size,
        strides=strides,
        padding="same",
        pad_values=1.0,
        use_bias=False,
        **_quantization("stem", None, kernel_quantizer, **kernel),
    )(x)
    return normalize(x, normalization, "stem_bn", input_quantizer)


def binary_convolution(
    x: Any,
    filters: int,
    name: str,
    *,
    input_quantizer: Any,
    kernel_quantizer: Any,
    normalization: Normalization,
    size: int = 3,
    strides: int = 1,
    pool: int = 1,
    window: int | None = None,
    **kernel: Any,
) -> Any:
    """Sign, binary convolution padded with +1, normalization, max-pooling.

    Max-pooling (over `window`, by default as large as its stride `pool`) stands after batch
    normalization and before the next layer's sign, where the converter turns it into a maximum
    over packed bits, and the convolution's output stays packed. With `input_quantizer=None` the
    sign's place is taken by a ReLU: the real-valued counterpart. With `normalization="binary"` the
    normalization before this block has taken the sign, and the one in it takes the next.
    """
    if input_quantizer is None:
        x = keras.layers.ReLU(name=f"{name}_relu")(x)
    x = lq.layers.QuantConv2D(
        filters,
        size,
        strides=strides,
        padding="same",
        pad_values=0.0 if input_quantizer is None else 1.0,
        use_bias=False,
        **_quantization(name, _before(input_quantizer, normalization), kernel_quantizer, **kernel),
    )(x)
    x = normalize(x, normalization, f"{name}_bn", input_quantizer)
    if pool == 1:
        return x
    return keras.layers.MaxPooling2D(window or pool, pool, name=f"{name}_pool")(x)


def binary_dense(
    x: Any,
    units: int,
    name: str,
    *,
    input_quantizer: Any,
    kernel_quantizer: Any,
    normalization: Normalization,
    **kernel: Any,
) -> Any:
    """Sign (or ReLU, as in `binary_convolution`), binary dense layer, normalization."""
    if input_quantizer is None:
        x = keras.layers.ReLU(name=f"{name}_relu")(x)
    x = lq.layers.QuantDense(
        units,
        use_bias=False,
        **_quantization(name, _before(input_quantizer, normalization), kernel_quantizer, **kernel),
    )(x)
    return normalize(x, normalization, f"{name}_bn", input_quantizer)


def classifier(x: Any, classes: int, activation: str | None) -> Any:
    """The last layer, real-valued; the output is named for what it is."""
    _check_classifier(classes, activation)
    x = keras.layers.Dense(classes, dtype="float32", name="logits")(x)
    return _probabilities(x, activation)


def binary_classifier(
    x: Any,
    classes: int,
    activation: str | None,
    *,
    input_quantizer: Any,
    kernel_quantizer: Any,
    normalization: Normalization,
    **kernel: Any,
) -> Any:
    """The last layer, binary, and batch normalization, which scales its sums to logits.

    On an image of features it stands in front of the average over the positions, which it
    commutes with, and so takes signs.
    """
    _check_classifier(classes, activation)
    if input_quantizer is None or kernel_quantizer is None:
        raise ValueError(
            "Expected `input_quantizer` and `kernel_quantizer` with a binary classifier. "
            f"Received: {input_quantizer=}, {kernel_quantizer=}"
        )
    before = _before(input_quantizer, normalization)
    quantization = _quantization("classifier", before, kernel_quantizer, **kernel)
    if len(x.shape) == 4:
        x = lq.layers.QuantConv2D(classes, 1, use_bias=False, **quantization)(x)
        x = keras.layers.GlobalAveragePooling2D(name="average_pool")(x)
    else:
        x = lq.layers.QuantDense(classes, use_bias=False, **quantization)(x)
    x = keras.layers.BatchNormalization(
        momentum=BATCH_NORM_MOMENTUM, dtype="float32", name="logits"
    )(x)
    return _probabilities(x, activation)


def _probabilities(x: Any, activation: str | None) -> Any:
    if activation is None:
        return x
    return keras.layers.Softmax(dtype="float32", name="probabilities")(x)


def _check_classifier(classes: int, activation: str | None) -> None:
    if not isinstance(classes, int) or classes < 2:
        raise ValueError(
            f"Expected `classes` to be an integer of at least 2. Received: classes={classes}"
        )
    if activation not in ("softmax", None):
        raise ValueError(
            'Expected `classifier_activation` to be "softmax" or None. '
            f"Received: classifier_activation={activation!r}"
        )


def check_width(width: int) -> None:
    """Raise ValueError unless `width`, a number of filters, is a positive integer."""
    if not isinstance(width, int) or width < 1:
        raise ValueError(f"Expected `width` to be a positive integer. Received: width={width}")


def check_sides(input_shape: tuple[int, int, int], least: int, why: str) -> None:
    """Raise ValueError unless height and width are `least` or more."""
    if min(input_shape[:2]) < least:
        raise ValueError(
            f"Expected `input_shape` to be at least {least}x{least}: {why}. "
            f"Received: input_shape={input_shape}"
        )


def _before(input_quantizer: Any, normalization: Normalization) -> Any:
    """The quantizer in a layer, whose inputs binary normalization has made signs already."""
    return None if normalization == "binary" else input_quantizer


def _quantization(
    name: str,
    input_quantizer: Any,
    kernel_quantizer: Any,
    *,
    kernel_initializer: Any,
    kernel_constraint: Any,
) -> dict[str, Any]:
    """The arguments of a Larq layer that make it binary."""
    initializer = keras.initializers.get(kernel_initializer)
    # Each layer needs one of its own: one without a seed gives all of them the same values.
    if hasattr(initializer, "get_config"):
        initializer = type(initializer).from_config(initializer.get_config())
    clips = isinstance(kernel_constraint, str) and kernel_constraint == CLIP
    if clips:
        kernel_constraint = None if kernel_quantizer is None else lq.constraints.WeightClip()
    return {
        "name": name,
        "input_quantizer": quantizers.clone(input_quantizer, f"{name}_input_quantizer"),
        "kernel_quantizer": quantizers.clone(kernel_quantizer, f"{name}_kernel_quantizer"),
        "kernel_initializer": initializer,
        "kernel_constraint": kernel_constraint,
    }
