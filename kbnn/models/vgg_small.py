"""VGG-small: the chain of six convolutions that the literature compares on CIFAR-10."""

from typing import Any

import tf_keras as keras

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
    kernel_initializer: Any = "glorot_uniform",
    kernel_constraint: Any = blocks.CLIP,
    preprocessing: keras.layers.Layer | None = None,
    classifier_activation: str | None = "softmax",
    name: str = "vgg_small",
) -> keras.Model:
    """VGG-small: a real stem, five binary convolutions, a real classifier.

    `width` filters in the stem and the first binary convolution, twice and four times as many in
    the pairs that follow, each pair closed by 2x2 max-pooling. A chain: between two binary
    convolutions stand batch normalization, pooling and the sign alone, so on the device their
    activations stay bit-packed. The last one hands real values to the classifier.

    Args:
        input_shape: (height, width, channels) of an image, each side 8 or more.
        classes: number of classes.
        width: filters of the first two convolutions; multiples of 32 pack without waste.
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
    >>> model = kbnn.models.vgg_small(width=32)
    >>> model.output_shape
    (None, 10)

    The topology is the one in use since "Training and Inference with Integers in Deep Neural
    Networks" (Wu et al., 2018) and LQ-Nets (Zhang et al., 2018), with one fully connected layer.
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
    blocks.check_sides(input_shape, 8, "it is halved three times")
    x = blocks.stem(x, width, 3, binary=binary_stem, **options)
    filters = [width, 2 * width, 2 * width, 4 * width, 4 * width]
    for i, (count, pool) in enumerate(zip(filters, [2, 1, 2, 1, 2], strict=True), start=1):
        x = blocks.binary_convolution(x, count, f"conv_{i}", pool=pool, **options)
    x = keras.layers.Flatten(name="flatten")(x)
    if binary_classifier:
        y = blocks.binary_classifier(x, classes, classifier_activation, **options)
    else:
        y = blocks.classifier(x, classes, classifier_activation)
    return keras.Model(image, y, name=name)
