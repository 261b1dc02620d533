"""Binary residual networks: ResNet-18, -20 and -34, with Bi-Real or plain shortcuts."""

from collections.abc import Sequence
from typing import Any

import tf_keras as keras

from kbnn import layers
from kbnn.models import blocks

STEMS = ("small", "imagenet")
SHORTCUTS = ("bi_real", "plain")
DOWNSAMPLING = ("convolution", "padding")


def resnet20(
    input_shape: tuple[int, int, int] = (32, 32, 3),
    classes: int = 10,
    width: int = 16,
    input_quantizer: Any = "ste_sign",
    kernel_quantizer: Any = "ste_sign",
    *,
    downsampling: str = "padding",
    name: str = "resnet20",
    **options: Any,
) -> keras.Model:
    """ResNet-20 for images of about 32x32 pixels: three stages of three pairs of convolutions.

    270 thousand weights with `downsampling="padding"`, as in "Deep Residual Learning for Image
    Recognition" (He et al., 2016), section 4.2. The literature's binary "ResNet-20" comes with both
    kinds of shortcuts, about one point of accuracy apart on CIFAR-10.

    Args:
        input_shape: (height, width, channels) of an image.
        classes: number of classes.
        width: filters of the first stage; each further one has twice as many.
        input_quantizer: for each binary convolution's input, as for `kbnn.models.resnet`.
        kernel_quantizer: the same for its kernel.
        downsampling: what a shortcut does where the image shrinks, as for `kbnn.models.resnet`.
        name: name of the model.
        **options: further arguments of `kbnn.models.resnet`.

    Returns:
        A functional model from `image` to `probabilities` (or `logits`), `(batch, classes)`.

    >>> import kbnn
    >>> sum(weight.shape.num_elements() for weight in kbnn.models.resnet20().trainable_weights)
    269722
    """
    quantizers = (input_quantizer, kernel_quantizer)
    options = {"downsampling": downsampling, "name": name, **options}
    return resnet((3, 3, 3), input_shape, classes, width, *quantizers, **options)


def resnet18(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    width: int = 64,
    input_quantizer: Any = "ste_sign",
    kernel_quantizer: Any = "ste_sign",
    *,
    stem: str = "imagenet",
    name: str = "resnet18",
    **options: Any,
) -> keras.Model:
    """ResNet-18: four stages of two pairs of convolutions.

    With the ImageNet stem 11.7 million weights, as in "Deep Residual Learning for Image
    Recognition" (He et al., 2016), table 1. With `stem="small"` it is the network used on
    CIFAR-10 and CIFAR-100.

    Args:
        input_shape: (height, width, channels) of an image.
        classes: number of classes.
        width: filters of the first stage; each further one has twice as many.
        input_quantizer: for each binary convolution's input, as for `kbnn.models.resnet`.
        kernel_quantizer: the same for its kernel.
        stem: "imagenet" or "small", as for `kbnn.models.resnet`.
        name: name of the model.
        **options: further arguments of `kbnn.models.resnet`.

    Returns:
        A functional model from `image` to `probabilities` (or `logits`), `(batch, classes)`.

    >>> import kbnn
    >>> model = kbnn.models.resnet18((32, 32, 3), classes=100, stem="small")
    """
    quantizers = (input_quantizer, kernel_quantizer)
    options = {"stem": stem, "name": name, **options}
    return resnet((2, 2, 2, 2), input_shape, classes, width, *quantizers, **options)


def resnet34(
    input_shape: tuple[int, int, int] = (224, 224, 3),
    classes: int = 1000,
    width: int = 64,
    input_quantizer: Any = "ste_sign",
    kernel_quantizer: Any = "ste_sign",
    *,
    stem: str = "imagenet",
    name: str = "resnet34",
    **options: Any,
) -> keras.Model:
    """ResNet-34: four stages of 3, 4, 6 and 3 pairs of convolutions, 21.8 million weights.

    Arguments and result are those of `kbnn.models.resnet18`.
    """
    quantizers = (input_quantizer, kernel_quantizer)
    options = {"stem": stem, "name": name, **options}
    return resnet((3, 4, 6, 3), input_shape, classes, width, *quantizers, **options)


def resnet(
    stages: Sequence[int],
    input_shape: tuple[int, int, int],
    classes: int,
    width: int,
    input_quantizer: Any = "ste_sign",
    kernel_quantizer: Any = "ste_sign",
    *,
    stem: str = "small",
    shortcuts: str = "bi_real",
    downsampling: str = "convolution",
    reactnet: bool = False,
    normalization: blocks.Normalization = "batch",
    kernel_initializer: Any = "glorot_uniform",
    kernel_constraint: Any = blocks.CLIP,
    preprocessing: keras.layers.Layer | None = None,
    classifier_activation: str | None = "softmax",
    name: str = "resnet",
) -> keras.Model:
    """A residual network of pairs of binary 3x3 convolutions, with a real stem and classifier.

    The sums between the convolutions stay real, so on the device a convolution's output is not
    bit-packed, but for the first of each pair with plain shortcuts.

    Args:
        stages: for each stage its number of pairs of convolutions; the first convolution of each
            stage but the first one halves height and width and doubles the filters.
        input_shape: (height, width, channels) of an image.
        classes: number of classes.
        width: filters of the stem and the first stage; multiples of 32 pack without waste.
        input_quantizer: for each binary convolution's input: a Larq quantizer, an alias or None
            (a ReLU: the real-valued network). Each layer gets a clone.
        kernel_quantizer: the same for its kernel; None leaves it real.
        stem: "small", a 3x3 convolution, or "imagenet", a 7x7 convolution and max-pooling, which
            together divide height and width by 4.
        shortcuts: "bi_real", around each convolution; or "plain", around each pair.
        downsampling: what a shortcut does where the image shrinks, after average-pooling:
            "convolution", a real 1x1 convolution with normalization, or "padding", zeros in place
            of the channels that it has not.
        reactnet: put a learned shift before each sign and an RPReLU behind each sum.
        normalization: "batch", or a function that takes a name and returns the layer to put behind
            each convolution.
        kernel_initializer: of the binary kernels' latent values, as Keras's layers take it.
        kernel_constraint: of the same; the default clips them to -1 to 1 where they are quantized.
        preprocessing: a layer between a uint8 image and the stem, as
            `kbnn.data.normalization_layer()`. By default the model takes float32 images.
        classifier_activation: "softmax", or None for logits.
        name: name of the model.

    Returns:
        A functional model from `image` to `probabilities` (or `logits`), `(batch, classes)`.

    Raises:
        ValueError: a shape, a number or a name out of range.
        TypeError: a layer or quantizer of Keras 3.

    >>> import kbnn
    >>> model = kbnn.models.resnet((1, 1), (32, 32, 3), classes=10, width=32)

    Sources: "Deep Residual Learning for Image Recognition" (He et al., 2016); "Bi-Real Net" (Liu et
    al., 2018) for the shortcut around each convolution and the average-pooling in it; "ReActNet"
    (Liu et al., 2020) for shift and RPReLU. ReActNet's own convolutions are those of MobileNet;
    here its activations stand in a ResNet, as in its paper's ablation.
    """
    blocks.check_width(width)
    _check_names(stem=(stem, STEMS), shortcuts=(shortcuts, SHORTCUTS))
    _check_names(downsampling=(downsampling, DOWNSAMPLING))
    _check_stages(stages)
    if normalization == "binary":
        raise ValueError(
            'Expected `normalization` to be "batch" or a function. Received: "binary", whose signs '
            "would stand in front of the sums; it is for chains, as vgg_small"
        )
    image, x = blocks.image_input(input_shape, preprocessing)
    least = 2 ** (len(stages) - 1) * (4 if stem == "imagenet" else 1)
    blocks.check_sides(input_shape, least, "stem and stages halve it that often")
    size, strides = (7, 2) if stem == "imagenet" else (3, 1)
    stem_options = {"input_quantizer": input_quantizer, "normalization": normalization}
    x = blocks.convolution(x, width, size, "stem", strides=strides, **stem_options)
    if stem == "imagenet":
        x = keras.layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)
    binary = {
        "input_quantizer": input_quantizer,
        "kernel_quantizer": kernel_quantizer,
        "normalization": normalization,
        "kernel_initializer": kernel_initializer,
        "kernel_constraint": kernel_constraint,
    }
    block = _Block(binary, downsampling=downsampling, reactnet=reactnet)
    for stage, pairs in enumerate(stages, start=1):
        for pair in range(1, pairs + 1):
            strides = 2 if stage > 1 and pair == 1 else 1
            filters = width * 2 ** (stage - 1)
            prefix = f"stage_{stage}_{pair}"
            if shortcuts == "bi_real":
                x = block.sum(x, block.branch(x, filters, f"{prefix}a", strides), f"{prefix}a")
                x = block.sum(x, block.branch(x, filters, f"{prefix}b"), f"{prefix}b")
            else:
                y = block.branch(x, filters, f"{prefix}a", strides)
                x = block.sum(x, block.branch(y, filters, f"{prefix}b"), prefix)
    x = keras.layers.GlobalAveragePooling2D(name="average_pool")(x)
    return keras.Model(image, blocks.classifier(x, classes, classifier_activation), name=name)


class _Block:
    """What the blocks of one network have in common."""

    def __init__(self, binary: dict[str, Any], *, downsampling: str, reactnet: bool) -> None:
        self._binary = binary
        self._downsampling = downsampling
        self._reactnet = reactnet

    def branch(self, x: Any, filters: int, name: str, strides: int = 1) -> Any:
        """Sign, binary convolution, normalization."""
        if self._reactnet:
            x = layers.LearnedShift(name=f"{name}_shift")(x)
        return blocks.binary_convolution(
            x, filters, f"{name}_conv", strides=strides, **self._binary
        )

    def sum(self, x: Any, branch: Any, name: str) -> Any:
        """Shortcut plus branch."""
        x = keras.layers.Add(name=f"{name}_add")([self._shortcut(x, branch, name), branch])
        return layers.RPReLU(name=f"{name}_rprelu")(x) if self._reactnet else x

    def _shortcut(self, x: Any, branch: Any, name: str) -> Any:
        filters = branch.shape[-1]
        if x.shape[1:] == branch.shape[1:]:
            return x
        x = keras.layers.AveragePooling2D(2, padding="same", name=f"{name}_shortcut_pool")(x)
        if self._downsampling == "convolution":
            return blocks.convolution(
                x,
                filters,
                1,
                f"{name}_shortcut",
                normalization=self._binary["normalization"],
                input_quantizer=None,
            )
        zeros = keras.layers.Rescaling(0.0, name=f"{name}_shortcut_zeros")(x)
        return keras.layers.Concatenate(name=f"{name}_shortcut")([x, zeros])


def _check_names(**names: tuple[str, Sequence[str]]) -> None:
    for argument, (name, valid) in names.items():
        if name not in valid:
            raise ValueError(
                f"Expected `{argument}` to be one of {', '.join(map(repr, valid))}. "
                f"Received: {argument}={name!r}"
            )


def _check_stages(stages: Sequence[int]) -> None:
    is_list = isinstance(stages, Sequence) and len(stages) > 0
    if not is_list or not all(isinstance(pairs, int) and pairs > 0 for pairs in stages):
        raise ValueError(
            f"Expected `stages` to be positive integers, one per stage. Received: stages={stages}"
        )
