"""What the binary architectures are built of."""

from typing import Any

import larq as lq
import tf_keras as keras

from kbnn import _keras_check, quantizers

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
    _keras_check.check_layer(preprocessing, "preprocessing")
    image = keras.Input(shape, name="image", dtype="uint8")
    return image, preprocessing(image)


def stem(x: Any, filters: int, *, strides: int = 1) -> Any:
    """The first layer, real-valued: 3x3 convolution and batch normalization."""
    x = keras.layers.Conv2D(
        filters, 3, strides=strides, padding="same", use_bias=False, name="stem"
    )(x)
    return keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name="stem_bn")(x)


def binary_convolution(
    x: Any, filters: int, name: str, *, input_quantizer: Any, kernel_quantizer: Any, pool: int = 1
) -> Any:
    """Sign, 3x3 binary convolution padded with +1, batch normalization, max-pooling.

    Max-pooling stands after batch normalization and before the next layer's sign, where the
    converter turns it into a maximum over packed bits, and the convolution's output stays packed.
    With `input_quantizer=None` the sign's place is taken by a ReLU: the real-valued counterpart.
    """
    if input_quantizer is None:
        x = keras.layers.ReLU(name=f"{name}_relu")(x)
    x = lq.layers.QuantConv2D(
        filters,
        3,
        padding="same",
        pad_values=0.0 if input_quantizer is None else 1.0,
        use_bias=False,
        input_quantizer=quantizers.clone(input_quantizer, f"{name}_input_quantizer"),
        kernel_quantizer=quantizers.clone(kernel_quantizer, f"{name}_kernel_quantizer"),
        kernel_constraint=None if kernel_quantizer is None else lq.constraints.WeightClip(),
        name=name,
    )(x)
    x = keras.layers.BatchNormalization(momentum=BATCH_NORM_MOMENTUM, name=f"{name}_bn")(x)
    return keras.layers.MaxPooling2D(pool, name=f"{name}_pool")(x) if pool > 1 else x


def classifier(x: Any, classes: int, activation: str | None) -> Any:
    """The last layer, real-valued; the output is named for what it is."""
    if not isinstance(classes, int) or classes < 2:
        raise ValueError(
            f"Expected `classes` to be an integer of at least 2. Received: classes={classes}"
        )
    if activation not in ("softmax", None):
        raise ValueError(
            'Expected `classifier_activation` to be "softmax" or None. '
            f"Received: classifier_activation={activation!r}"
        )
    x = keras.layers.Dense(classes, dtype="float32", name="logits")(x)
    if activation is None:
        return x
    return keras.layers.Softmax(dtype="float32", name="probabilities")(x)


def check_width(width: int) -> None:
    """Raise ValueError unless `width`, a number of filters, is a positive integer."""
    if not isinstance(width, int) or width < 1:
        raise ValueError(f"Expected `width` to be a positive integer. Received: width={width}")
