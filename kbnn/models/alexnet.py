"""Binary AlexNet: the chain on which XNOR-Net and its successors compare on ImageNet."""

from typing import Any

import tf_keras as keras

from kbnn import _checks
from kbnn.models import blocks


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
    kernel_initializer: Any = "glorot_uniform",
    kernel_constraint: Any = blocks.CLIP,
    preprocessing: keras.layers.Layer | None = None,
    classifier_activation: str | None = "softmax",
    name: str = "alexnet",
) -> keras.Model:
    """AlexNet with binary layers, except for the first and the last layer.

    A real 11x11 stem of stride 4, binary convolutions (one 5x5 and three 3x3), two binary dense
    layers and a real classifier: 62.4 million weights on ImageNet, 58.2 million of them binary. As
    usual for binary networks, it is one tower without groups and dropout, with batch normalization.

    Args:
        input_shape: (height, width, channels) of an image, each side 57 or more.
        width: filters of the stem. A multiple of 6 keeps AlexNet's proportions (96, 256, 384, 384,
            256).
        hidden_units: units of the two dense layers.

    The other arguments, the result and the errors are those of `kbnn.models.vgg_small`.

    Example:
        >>> import kbnn
        >>> model = kbnn.models.alexnet((64, 64, 3), classes=10, width=24, hidden_units=128)

    Sources: "ImageNet Classification with Deep Convolutional Neural Networks" (Krizhevsky et al.,
    2012); "XNOR-Net" (Rastegari et al., 2016) for the binary form. Here pooling comes after the
    normalization and before the sign, where the device does it on packed bits.
    """
    _checks.positive_int("width", width)
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
    x = blocks.binary_dense(x, hidden_units, "dense_2", **options)
    if binary_classifier:
        y = blocks.binary_classifier(x, classes, classifier_activation, **options)
    else:
        if input_quantizer is None:
            x = keras.layers.ReLU(name="logits_relu")(x)
        y = blocks.classifier(x, classes, classifier_activation)
    return keras.Model(image, y, name=name)
