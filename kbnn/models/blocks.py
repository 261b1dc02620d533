"""The building blocks of the binary architectures."""

from collections.abc import Callable
from typing import Any, Literal

import tf_keras as keras

from kbnn import _checks, layers, quantizers
from kbnn._larq import QuantConv2D, QuantDense, WeightClip

# How an architecture normalizes: a name, or a function that takes a name and returns a layer.
Normalization = Literal["batch", "binary"] | Callable[[str], keras.layers.Layer]

# The name of Larq's constraint that clips latent weights.
CLIP = "weight_clip"

END_ACTIVATIONS = ("relu", "rprelu", None)

# Keras's default momentum of 0.99 lags behind binary weights, which flip until late in training.
BATCH_NORM_MOMENTUM = 0.9


def image_input(input_shape: tuple[int, int, int], preprocessing: keras.layers.Layer | None) -> Any:
    """Return the input named `image`: float32, or uint8 if there is a preprocessing layer.

    Returns:
        `(input tensor, tensor for the first layer)`.
    """
    shape = tuple(input_shape)
    if len(shape) != 3 or not all(_checks.is_integer(size) and size > 0 for size in shape):
        expected = "(height, width, channels), three positive integers"
        raise _checks.refuse("input_shape", expected, input_shape)
    if preprocessing is None:
        image = keras.Input(shape, name="image")
        return image, image
    _checks.keras2_layer("preprocessing", preprocessing)
    image = keras.Input(shape, name="image", dtype="uint8")
    return image, preprocessing(image)


def normalize(x: Any, normalization: Normalization, name: str, input_quantizer: Any) -> Any:
    """Apply a normalization layer; "binary" also applies the next layer's `input_quantizer`."""
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
        expected = '"batch", "binary" or a function that takes a name and returns a layer'
        raise _checks.refuse("normalization", expected, normalization)
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
    """Apply a real-valued convolution with "same" padding, and normalization named `<name>_bn`.

    `input_quantizer` is the quantizer of the next layers.
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
    """Apply the first convolution of a chain, `stem`: real-valued, or binary on encoded images."""
    after: dict[str, Any] = {"input_quantizer": input_quantizer, "normalization": normalization}
    _checks.boolean("binary_stem", binary)
    if not binary:
        return convolution(x, filters, size, "stem", strides=strides, **after)
    if input_quantizer is None or kernel_quantizer is None:
        raise ValueError(
            "Expected `input_quantizer` and `kernel_quantizer` with a binary stem. "
            f"Received: {input_quantizer=}, {kernel_quantizer=}"
        )
    x = layers.ThresholdEncoding(name="stem_encoding")(x)
    x = QuantConv2D(
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
    output_normalization: Normalization | None = None,
    size: int = 3,
    strides: int = 1,
    pool: int = 1,
    window: int | None = None,
    **kernel: Any,
) -> Any:
    """Apply the sign, a binary convolution padded with +1, normalization and max-pooling.

    Max-pooling comes after batch normalization and before the next layer's sign. In this place, the
    converter turns it into a maximum of packed bits, and the output of the convolution stays
    packed. Its stride is `pool`, and so is its window unless you pass `window`.

    With `input_quantizer=None` a ReLU replaces the sign, and the padding is 0. With
    `normalization="binary"` the normalization before this block has already applied the sign. Pass
    `output_normalization` if the outputs of this block need another normalization than its inputs.
    """
    if input_quantizer is None:
        x = keras.layers.ReLU(name=f"{name}_relu")(x)
    x = QuantConv2D(
        filters,
        size,
        strides=strides,
        padding="same",
        pad_values=0.0 if input_quantizer is None else 1.0,
        use_bias=False,
        **_quantization(name, _before(input_quantizer, normalization), kernel_quantizer, **kernel),
    )(x)
    x = normalize(x, output_normalization or normalization, f"{name}_bn", input_quantizer)
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
    output_normalization: Normalization | None = None,
    **kernel: Any,
) -> Any:
    """Apply the sign, a binary dense layer and normalization.

    With `input_quantizer=None` a ReLU replaces the sign, as in `binary_convolution`.
    """
    if input_quantizer is None:
        x = keras.layers.ReLU(name=f"{name}_relu")(x)
    x = QuantDense(
        units,
        use_bias=False,
        **_quantization(name, _before(input_quantizer, normalization), kernel_quantizer, **kernel),
    )(x)
    return normalize(x, output_normalization or normalization, f"{name}_bn", input_quantizer)


def end_activation(x: Any, activation: str | None) -> Any:
    """Apply the activation between the last binary layer and the classifier, if there is one."""
    if activation == "relu":
        return keras.layers.ReLU(name="end_relu")(x)
    return layers.RPReLU(name="end_rprelu")(x) if activation == "rprelu" else x


def end_normalization(normalization: Normalization, activation: str | None) -> Normalization:
    """Return the last binary layer's normalization, without a sign if an end activation follows."""
    return "batch" if normalization == "binary" and activation is not None else normalization


def resolve_end_activation(activation: Any, binary_classifier: bool) -> str | None:
    """Return the end activation of a network: None in front of a binary classifier.

    Raises:
        ValueError: The activation is unknown.
    """
    _checks.one_of("end_activation", activation, END_ACTIVATIONS)
    return None if binary_classifier else activation


def classifier(x: Any, classes: int, activation: str | None) -> Any:
    """Apply a real-valued last layer. The output is named `logits` or `probabilities`."""
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
    """Apply a binary last layer, and batch normalization, which scales its sums to logits.

    On a feature map, the layer comes before the average over the positions, so that its inputs are
    signs. The order does not change the result, because both are linear.
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
        x = QuantConv2D(classes, 1, use_bias=False, **quantization)(x)
        x = keras.layers.GlobalAveragePooling2D(name="average_pool")(x)
    else:
        x = QuantDense(classes, use_bias=False, **quantization)(x)
    x = keras.layers.BatchNormalization(
        momentum=BATCH_NORM_MOMENTUM, dtype="float32", name="logits"
    )(x)
    return _probabilities(x, activation)


def _probabilities(x: Any, activation: str | None) -> Any:
    if activation is None:
        return x
    return keras.layers.Softmax(dtype="float32", name="probabilities")(x)


def _check_classifier(classes: int, activation: str | None) -> None:
    _checks.integer("classes", classes, least=2)
    _checks.one_of("classifier_activation", activation, ("softmax", None))


def check_sides(input_shape: tuple[int, int, int], least: int, why: str) -> None:
    """Raise ValueError unless height and width are at least `least`."""
    if min(input_shape[:2]) < least:
        raise ValueError(
            f"Expected `input_shape` to be at least {least}x{least}: {why}. "
            f"Received: input_shape={input_shape}"
        )


def _before(input_quantizer: Any, normalization: Normalization) -> Any:
    """Return a layer's input quantizer: None if binary normalization has already applied it."""
    return None if normalization == "binary" else input_quantizer


def _quantization(
    name: str,
    input_quantizer: Any,
    kernel_quantizer: Any,
    *,
    kernel_initializer: Any,
    kernel_constraint: Any,
) -> dict[str, Any]:
    """Return the arguments of a Larq layer that make it binary."""
    initializer = keras.initializers.get(kernel_initializer)
    # Each layer needs its own instance: a shared one without a seed repeats its values.
    if hasattr(initializer, "get_config"):
        initializer = type(initializer).from_config(initializer.get_config())
    clips = isinstance(kernel_constraint, str) and kernel_constraint == CLIP
    if clips:
        kernel_constraint = None if kernel_quantizer is None else WeightClip()
    return {
        "name": name,
        "input_quantizer": quantizers.clone(input_quantizer, f"{name}_input_quantizer"),
        "kernel_quantizer": quantizers.clone(kernel_quantizer, f"{name}_kernel_quantizer"),
        "kernel_initializer": initializer,
        "kernel_constraint": kernel_constraint,
    }
