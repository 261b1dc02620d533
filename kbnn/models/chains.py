"""Chains: binary convolutions one after the other, without shortcuts."""

from typing import Any

import tf_keras as keras

from kbnn import _checks
from kbnn.models import blocks


def vgg_small(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    width: int = 128,
    input_quantizer: Any = "ste_sign",
    kernel_quantizer: Any = "ste_sign",
    *,
    normalization: blocks.Normalization = "batch",
    binary_stem: bool = False,
    binary_classifier: bool = False,
    end_activation: str | None = "relu",
    kernel_initializer: Any = "glorot_uniform",
    kernel_constraint: Any = blocks.CLIP,
    preprocessing: keras.layers.Layer | None = None,
    classifier_activation: str | None = "softmax",
    name: str = "vgg_small",
) -> keras.Model:
    """VGG-small: a real-valued stem, five binary convolutions and a real-valued classifier.

    The stem and the first binary convolution have `width` filters; the two pairs that follow have
    twice and four times as many. Max-pooling (2x2) follows the first binary convolution and each
    pair. Only batch normalization, pooling and the sign come between two binary convolutions, so
    their activations stay bit-packed on the device. The last convolution passes real values to
    `end_activation` and the classifier.

    Args:
        input_shape: (height, width, channels) of an image, each side 8 or more.
        classes: number of classes.
        width: filters of the first two convolutions. Multiples of 32 fill the packed words.
        input_quantizer: quantizer of the inputs of each binary layer: a Larq quantizer, its alias,
            or None for a ReLU, as in a real-valued network. Each layer gets a clone.
        kernel_quantizer: quantizer of the kernel of each binary layer; None keeps it real-valued.
        normalization: "batch", "binary", or a function that takes a name and returns the layer to
            put after each convolution. "binary" is `kbnn.layers.BinaryBatchNormalization`, which
            applies the next layer's input quantizer. In front of an `end_activation` it is plain
            batch normalization instead.
        binary_stem: whether the first convolution is binary too. `kbnn.layers.ThresholdEncoding`
            then turns each channel of the image into 32 signs.
        binary_classifier: whether the last layer is binary too. Batch normalization follows it.
        end_activation: the activation between the last binary layer and a real-valued classifier:
            "relu", "rprelu" (a `kbnn.layers.RPReLU`) or None. Without an activation or max-pooling
            in this place, the logits are a linear function of the last binary layer's outputs. In
            front of a binary classifier, a sign takes its place.
        kernel_initializer: initializer of the latent weights of binary kernels.
        kernel_constraint: constraint of these weights. By default they are clipped to -1 to 1 if
            the kernel has a quantizer.
        preprocessing: a layer between uint8 images and the stem, such as
            `kbnn.data.normalization_layer()`. By default the model takes float32 images.
        classifier_activation: "softmax", or None for logits.
        name: name of the model.

    Returns:
        A functional model from `image` to `probabilities` (or `logits`), `(batch, classes)`.

    Raises:
        ValueError: a shape, a number or an activation is out of range.
        TypeError: a layer or quantizer belongs to Keras 3.

    Example:
        >>> import kbnn
        >>> model = kbnn.models.vgg_small(width=32)
        >>> model.output_shape
        (None, 10)

    Source: the usual topology since "Training and Inference with Integers in Deep Neural Networks"
    (Wu et al., 2018) and LQ-Nets (Zhang et al., 2018), with one fully connected layer.
    """
    _checks.positive_int("width", width)
    end_activation = blocks.resolve_end_activation(end_activation, binary_classifier)
    options: dict[str, Any] = {
        "input_quantizer": input_quantizer,
        "kernel_quantizer": kernel_quantizer,
        "normalization": normalization,
        "kernel_initializer": kernel_initializer,
        "kernel_constraint": kernel_constraint,
    }
    image, x = blocks.image_input(input_shape, preprocessing)
    blocks.check_sides(input_shape, 8, "the network halves the image three times")
    x = blocks.stem(x, width, 3, binary=binary_stem, **options)
    filters = [width, 2 * width, 2 * width, 4 * width, 4 * width]
    last: dict[str, Any] = {
        "output_normalization": blocks.end_normalization(normalization, end_activation)
    }
    for i, (count, pool) in enumerate(zip(filters, [2, 1, 2, 1, 2], strict=True), start=1):
        own = last if i == len(filters) else {}
        x = blocks.binary_convolution(x, count, f"conv_{i}", pool=pool, **options, **own)
    x = blocks.end_activation(x, end_activation)
    x = keras.layers.Flatten(name="flatten")(x)
    if binary_classifier:
        y = blocks.binary_classifier(x, classes, classifier_activation, **options)
    else:
        y = blocks.classifier(x, classes, classifier_activation)
    return keras.Model(image, y, name=name)


def vgg_tiny(
    input_shape: tuple[int, int, int] = (28, 28, 1),
    classes: int = 10,
    width: int = 32,
    input_quantizer: Any = "ste_sign",
    kernel_quantizer: Any = "ste_sign",
    *,
    normalization: blocks.Normalization = "batch",
    binary_stem: bool = False,
    binary_classifier: bool = False,
    end_activation: str | None = "relu",
    kernel_initializer: Any = "glorot_uniform",
    kernel_constraint: Any = blocks.CLIP,
    preprocessing: keras.layers.Layer | None = None,
    classifier_activation: str | None = "softmax",
    name: str = "vgg_tiny",
) -> keras.Model:
    """A small chain: a real-valued stem of stride 2, three binary convolutions, a real classifier.

    At the default width it needs 9.1 million multiply-accumulates for a 28x28 image. It is small
    enough that you can train it many times on a laptop, and large enough that binarization visibly
    costs accuracy. The topology is kbnn's.

    Args:
        input_shape: (height, width, channels) of an image, each side 4 or more.
        width: filters of the stem; the binary convolutions have 2, 2 and 4 times as many.

    `kbnn.models.vgg_small` describes the other arguments, the result and the errors.

    Example:
        >>> import kbnn
        >>> kbnn.models.vgg_tiny(classifier_activation=None).output_names
        ['logits']
    """
    _checks.positive_int("width", width)
    end_activation = blocks.resolve_end_activation(end_activation, binary_classifier)
    options: dict[str, Any] = {
        "input_quantizer": input_quantizer,
        "kernel_quantizer": kernel_quantizer,
        "normalization": normalization,
        "kernel_initializer": kernel_initializer,
        "kernel_constraint": kernel_constraint,
    }
    image, x = blocks.image_input(input_shape, preprocessing)
    blocks.check_sides(input_shape, 4, "the network halves the image twice")
    x = blocks.stem(x, width, 3, strides=2, binary=binary_stem, **options)
    x = blocks.binary_convolution(x, 2 * width, "conv_1", pool=2, **options)
    x = blocks.binary_convolution(x, 2 * width, "conv_2", **options)
    last: dict[str, Any] = {
        "output_normalization": blocks.end_normalization(normalization, end_activation)
    }
    x = blocks.binary_convolution(x, 4 * width, "conv_3", **options, **last)
    x = blocks.end_activation(x, end_activation)
    if binary_classifier:
        y = blocks.binary_classifier(x, classes, classifier_activation, **options)
    else:
        x = keras.layers.GlobalAveragePooling2D(name="average_pool")(x)
        y = blocks.classifier(x, classes, classifier_activation)
    return keras.Model(image, y, name=name)


def alexnet(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    width: int = 96,
    input_quantizer: Any = "ste_sign",
    kernel_quantizer: Any = "ste_sign",
    *,
    hidden_units: int = 4096,
    normalization: blocks.Normalization = "batch",
    binary_stem: bool = False,
    binary_classifier: bool = False,
    end_activation: str | None = "relu",
    kernel_initializer: Any = "glorot_uniform",
    kernel_constraint: Any = blocks.CLIP,
    preprocessing: keras.layers.Layer | None = None,
    classifier_activation: str | None = "softmax",
    name: str = "alexnet",
) -> keras.Model:
    """AlexNet with binary layers, except for the first and the last layer.

    It has a real-valued 11x11 stem of stride 4, four binary convolutions (one 5x5 and three 3x3),
    two binary dense layers and a real-valued classifier. For ImageNet it has 62.4 million weights,
    of which 58.2 million are binary. As usual for binary networks, it is one tower without groups
    and dropout, with batch normalization.

    Args:
        input_shape: (height, width, channels) of an image, each side 57 or more.
        width: filters of the stem. A multiple of 6 keeps AlexNet's proportions (96, 256, 384, 384,
            256).
        hidden_units: units of the two dense layers.

    `kbnn.models.vgg_small` describes the other arguments, the result and the errors.

    Example:
        >>> import kbnn
        >>> model = kbnn.models.alexnet((64, 64, 3), classes=10, width=24, hidden_units=128)

    Sources: "ImageNet Classification with Deep Convolutional Neural Networks" (Krizhevsky et al.,
    2012); "XNOR-Net" (Rastegari et al., 2016) for the binary form. Here pooling comes after the
    normalization and before the sign, where the device does it on packed bits.
    """
    _checks.positive_int("width", width)
    end_activation = blocks.resolve_end_activation(end_activation, binary_classifier)
    options: dict[str, Any] = {
        "input_quantizer": input_quantizer,
        "kernel_quantizer": kernel_quantizer,
        "normalization": normalization,
        "kernel_initializer": kernel_initializer,
        "kernel_constraint": kernel_constraint,
    }
    image, x = blocks.image_input(input_shape, preprocessing)
    blocks.check_sides(input_shape, 57, "the network divides the image by 32, with windows of 3")
    x = blocks.stem(x, width, 11, strides=4, binary=binary_stem, **options)
    x = keras.layers.MaxPooling2D(3, 2, name="stem_pool")(x)
    wide, wider = width * 8 // 3, width * 4
    x = blocks.binary_convolution(x, wide, "conv_1", size=5, pool=2, window=3, **options)
    x = blocks.binary_convolution(x, wider, "conv_2", **options)
    x = blocks.binary_convolution(x, wider, "conv_3", **options)
    x = blocks.binary_convolution(x, wide, "conv_4", pool=2, window=3, **options)
    x = keras.layers.Flatten(name="flatten")(x)
    x = blocks.binary_dense(x, hidden_units, "dense_1", **options)
    last: dict[str, Any] = {
        "output_normalization": blocks.end_normalization(normalization, end_activation)
    }
    x = blocks.binary_dense(x, hidden_units, "dense_2", **options, **last)
    x = blocks.end_activation(x, end_activation)
    if binary_classifier:
        y = blocks.binary_classifier(x, classes, classifier_activation, **options)
    else:
        y = blocks.classifier(x, classes, classifier_activation)
    return keras.Model(image, y, name=name)
