"""VGG-tiny: the small chain on which kbnn compares techniques."""

from typing import Any

import tf_keras as keras

from kbnn import _checks
from kbnn.models import blocks


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
    kernel_initializer: Any = "glorot_uniform",
    kernel_constraint: Any = blocks.CLIP,
    preprocessing: keras.layers.Layer | None = None,
    classifier_activation: str | None = "softmax",
    name: str = "vgg_tiny",
) -> keras.Model:
    """A small chain: a real stem of stride 2, three binary convolutions, a real classifier.

    At the default width it needs 9.1 million multiply-accumulates for a 28x28 image: small enough
    to train it many times on a laptop, large enough that binarization visibly costs accuracy. The
    topology is kbnn's.

    Args:
        input_shape: (height, width, channels) of an image, each side 4 or more.
        width: filters of the stem; the binary convolutions have 2, 2 and 4 times as many.

    The other arguments, the result and the errors are those of `kbnn.models.vgg_small`.

    Example:
        >>> import kbnn
        >>> kbnn.models.vgg_tiny(classifier_activation=None).output_names
        ['logits']
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
    blocks.check_sides(input_shape, 4, "the network halves the image twice")
    x = blocks.stem(x, width, 3, strides=2, binary=binary_stem, **options)
    x = blocks.binary_convolution(x, 2 * width, "conv_1", pool=2, **options)
    x = blocks.binary_convolution(x, 2 * width, "conv_2", **options)
    x = blocks.binary_convolution(x, 4 * width, "conv_3", **options)
    if binary_classifier:
        y = blocks.binary_classifier(x, classes, classifier_activation, **options)
    else:
        x = keras.layers.GlobalAveragePooling2D(name="average_pool")(x)
        y = blocks.classifier(x, classes, classifier_activation)
    return keras.Model(image, y, name=name)
