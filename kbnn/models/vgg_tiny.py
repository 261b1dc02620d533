"""VGG-tiny: the small chain on which kbnn compares techniques."""

from typing import Any

import tf_keras as keras

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
    """A real stem of stride 2, three binary convolutions, a real classifier.

    9.1 million multiply-accumulates for a 28x28 image at the default width: small enough to be
    trained many times on a laptop, large enough that binarisation costs accuracy that can be seen.
    A chain, as `vgg_small`; the topology is kbnn's own.

    Args:
        input_shape: (height, width, channels) of an image, each side 4 or more.
        classes: number of classes.
        width: filters of the stem; the binary convolutions have 2, 2 and 4 times as many.
        input_quantizer: for each binary convolution's input: a Larq quantizer, an alias or None
            (a ReLU: the real-valued network). Each layer gets a clone.
        kernel_quantizer: the same for its kernel; None leaves it real.
        normalization: "batch"; "binary", a `kbnn.layers.BinaryBatchNormalization` behind each
            convolution, which applies the input quantizer of the next; or a function that takes a
            name and returns the layer to put behind each convolution.
        binary_stem: make the first convolution binary too, on an image that
            `kbnn.layers.ThresholdEncoding` has turned into 32 signs per channel.
        binary_classifier: make the last layer binary too, with batch normalization behind it.
        kernel_initializer: of the binary kernels' latent values, as Keras's layers take it.
        kernel_constraint: of the same; the default clips them to -1 to 1 where they are quantized.
        preprocessing: a layer between a uint8 image and the stem, as
            `kbnn.data.normalization_layer()`. By default the model takes float32 images.
        classifier_activation: "softmax", or None for logits.
        name: name of the model.

    Returns:
        A functional model from `image` to `probabilities` (or `logits`), `(batch, classes)`.

    Raises:
        ValueError: a shape, a number or an activation out of range.
        TypeError: a layer or quantizer of Keras 3.

    >>> import kbnn
    >>> kbnn.models.vgg_tiny(classifier_activation=None).output_names
    ['logits']
    """
    blocks.check_width(width)
    options: dict[str, Any] = {
        "input_quantizer": input_quantizer,
        "kernel_quantizer": kernel_quantizer,
        "normalization": normalization,
        "kernel_initializer": kernel_initializer,
        "kernel_constraint": kernel_constraint,
    }
    image, x = blocks.image_input(input_shape, preprocessing)
    blocks.check_sides(input_shape, 4, "it is halved twice")
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
