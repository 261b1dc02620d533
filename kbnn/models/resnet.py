"""Binary residual networks: ResNet-18, -20 and -34, with Bi-Real or plain shortcuts."""

from collections.abc import Sequence
from typing import Any

import tf_keras as keras

from kbnn import _checks, layers
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
    """ResNet-20 for images of about 32x32 pixels.

    It has three stages with three pairs of convolutions each. With `downsampling="padding"` it has
    270 thousand weights, as in "Deep Residual Learning for Image Recognition" (He et al., 2016). In
    the literature, binary ResNet-20 networks have either kind of shortcut, and their accuracies on
    CIFAR-10 differ by about one point.

    `kbnn.models.resnet` describes the arguments, the result and the errors.

    Example:
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
    """ResNet-18: four stages with two pairs of convolutions each.

    With the ImageNet stem it has 11.7 million weights, as in "Deep Residual Learning for Image
    Recognition" (He et al., 2016), table 1. With `stem="small"` it is the network used on CIFAR-10
    and CIFAR-100.

    `kbnn.models.resnet` describes the arguments, the result and the errors.

    Example:
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
    """ResNet-34: four stages with 3, 4, 6 and 3 pairs of convolutions, and 21.8 million weights.

    `kbnn.models.resnet` describes the arguments, the result and the errors.
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
    end_activation: str | None = "relu",
    normalization: blocks.Normalization = "batch",
    kernel_initializer: Any = "glorot_uniform",
    kernel_constraint: Any = blocks.CLIP,
    preprocessing: keras.layers.Layer | None = None,
    classifier_activation: str | None = "softmax",
    name: str = "resnet",
) -> keras.Model:
    """A residual network: pairs of binary 3x3 convolutions, with a real-valued stem and classifier.

    The sums of shortcuts and convolutions are real-valued. On the device, the output of a
    convolution is therefore not bit-packed. The exception is the first convolution of each pair
    with plain shortcuts.

    Args:
        stages: the number of pairs of convolutions in each stage. In every stage after the first,
            the first convolution halves height and width and doubles the number of filters.
        input_shape: (height, width, channels) of an image.
        classes: number of classes.
        width: filters of the stem and the first stage. Multiples of 32 fill the packed words.
        input_quantizer: quantizer of the inputs of each binary convolution: a Larq quantizer, its
            alias, or None for a ReLU, as in a real-valued network. Each layer gets a clone.
        kernel_quantizer: quantizer of the kernel of each binary convolution; None keeps it
            real-valued.
        stem: "small", a 3x3 convolution; or "imagenet", a 7x7 convolution and max-pooling, which
            together divide height and width by 4.
        shortcuts: where the shortcuts go: "bi_real" around each convolution, "plain" around each
            pair.
        downsampling: how a shortcut gets its new channels where the image shrinks, after
            average-pooling: "convolution" applies a real-valued 1x1 convolution with normalization,
            "padding" fills the new channels with zeros.
        reactnet: whether to add a learned shift before each sign and an RPReLU after each sum.
        end_activation: the activation between the last sum and the average: "relu" as in "Back to
            Simplicity" (Bethge et al., 2019), "rprelu" (a `kbnn.layers.RPReLU`), or None as in
            Bi-Real Net. It has no effect with `reactnet`, whose last RPReLU takes its place.
        normalization: "batch", or a function that takes a name and returns the layer to put after
            each convolution.
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
        ValueError: a shape, a number or a name is out of range.
        TypeError: a layer or quantizer belongs to Keras 3.

    Example:
        >>> import kbnn
        >>> model = kbnn.models.resnet((1, 1), (32, 32, 3), classes=10, width=32)

    Sources: "Deep Residual Learning for Image Recognition" (He et al., 2016); "Bi-Real Net" (Liu et
    al., 2018) for the shortcut around each convolution and its average-pooling; "ReActNet" (Liu et
    al., 2020) for the shift and the RPReLU. ReActNet itself builds on MobileNet; here its
    activations are in a ResNet, as in the ablation of its paper.
    """
    _checks.positive_int("width", width)
    end_activation = blocks.resolve_end_activation(end_activation, binary_classifier=False)
    _checks.one_of("stem", stem, STEMS)
    _checks.one_of("shortcuts", shortcuts, SHORTCUTS)
    _checks.one_of("downsampling", downsampling, DOWNSAMPLING)
    _check_stages(stages)
    if normalization == "binary":
        raise ValueError(
            'Expected `normalization` to be "batch" or a function. Received: "binary", which gives '
            "signs, but the sums need real values. It works in chains such as vgg_small"
        )
    image, x = blocks.image_input(input_shape, preprocessing)
    least = 2 ** (len(stages) - 1) * (4 if stem == "imagenet" else 1)
    blocks.check_sides(input_shape, least, "the stem and the stages halve it several times")
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
    if not reactnet:
        x = blocks.end_activation(x, end_activation)
    x = keras.layers.GlobalAveragePooling2D(name="average_pool")(x)
    return keras.Model(image, blocks.classifier(x, classes, classifier_activation), name=name)


class _Block:
    """Builds the blocks of one network."""

    def __init__(self, binary: dict[str, Any], *, downsampling: str, reactnet: bool) -> None:
        self._binary = binary
        self._downsampling = downsampling
        self._reactnet = reactnet

    def branch(self, x: Any, filters: int, name: str, strides: int = 1) -> Any:
        """Apply the sign, a binary convolution and normalization."""
        if self._reactnet:
            x = layers.LearnedShift(name=f"{name}_shift")(x)
        return blocks.binary_convolution(
            x, filters, f"{name}_conv", strides=strides, **self._binary
        )

    def sum(self, x: Any, branch: Any, name: str) -> Any:
        """Add the shortcut to the branch."""
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


def _check_stages(stages: Sequence[int]) -> None:
    is_list = isinstance(stages, Sequence) and len(stages) > 0
    if not is_list or not all(_checks.is_integer(pairs) and pairs > 0 for pairs in stages):
        raise _checks.refuse("stages", "positive integers, one per stage", stages)
