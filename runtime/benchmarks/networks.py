"""The networks that the runtime is timed on, each with its float twin.

A builder takes `binary`: True builds the binary network, False the same topology without quantizers
and with ReLU where the signs were. Weights are random and batch normalization has random
statistics, so that no sign stands at a tie and no channel is dead; the time of an operator does not
depend on its values.
"""

import functools
from collections.abc import Callable
from typing import Any

import larq as lq
import numpy as np
import tf_keras as keras

import kbnn

Builder = Callable[[bool], keras.Model]

_GRID = ((56, 64), (28, 128), (14, 256), (7, 512))
_SECTIONS = ((64, 4), (128, 4), (256, 4), (512, 4))


def resnet18(binary: bool, size: int = 224) -> keras.Model:
    """Bi-Real ResNet-18 with the ImageNet stem."""
    return kbnn.models.resnet18((size, size, 3), **_quantizers(binary))


def vgg_small(binary: bool) -> keras.Model:
    """VGG-small for images of CIFAR: a chain, whose activations stay packed."""
    return kbnn.models.vgg_small(**_quantizers(binary))


def resnet20(binary: bool) -> keras.Model:
    """ResNet-20 for images of CIFAR: 16 to 64 channels."""
    return kbnn.models.resnet20(**_quantizers(binary))


def quicknet(
    binary: bool,
    size: int = 224,
    sections: tuple[tuple[int, int], ...] = _SECTIONS,
    classes: int = 1000,
) -> keras.Model:
    """A network like QuickNet: strided real stem, residual binary 3x3 convolutions, and between the
    sections a real depthwise convolution that halves the image and a pointwise one.

    The plan is that of "Larq Compute Engine" (Bannink et al., 2021), section 4; the depthwise
    kernels are random here, not those of a blur, and every section has four layers.

    Args:
        binary: False for the float twin.
        size: height and width of the image, a multiple of 32.
        sections: channels and binary layers of each section.
        classes: number of classes.
    """
    image = keras.Input((size, size, 3), name="image")
    x = keras.layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(image)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    x = _halve(x, sections[0][0])
    for index, (channels, layers) in enumerate(sections):
        if index > 0:
            x = _halve(keras.layers.ReLU()(x), channels)
        for _ in range(layers):
            branch = keras.layers.ReLU()(_convolution(x, channels, 3, 1, binary))
            x = keras.layers.Add()([x, keras.layers.BatchNormalization()(branch)])
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(x))
    x = keras.layers.Dense(classes, activation="softmax", name="probabilities")(x)
    return keras.Model(image, x, name="quicknet")


def layer(binary: bool, size: int, channels: int, kernel: int, stride: int) -> keras.Model:
    """One convolution and its batch normalization, of real values at both ends.

    The binary one begins with the sign of its input, which is an operator of its own.
    """
    image = keras.Input((size, size, channels), name="image")
    x = _convolution(image, channels, kernel, stride, binary)
    return keras.Model(image, keras.layers.BatchNormalization()(x), name="layer")


def randomize_statistics(model: keras.Model, seed: int = 0) -> keras.Model:
    """Give every batch normalization of a model random weights and statistics, in place."""
    draw = np.random.default_rng(seed)
    for normalization in model.layers:
        if isinstance(normalization, keras.layers.BatchNormalization):
            values = {
                "gamma": draw.uniform(0.5, 1.5, normalization.moving_mean.shape),
                "beta": draw.normal(0.0, 0.5, normalization.moving_mean.shape),
                "moving_mean": draw.normal(0.0, 0.5, normalization.moving_mean.shape),
                "moving_variance": draw.uniform(0.5, 2.0, normalization.moving_mean.shape),
            }
            for name, value in values.items():
                getattr(normalization, name).assign(value)
    return model


def _grid() -> dict[str, Builder]:
    return {
        f"layer-{size}x{size}x{channels}-{kernel}x{kernel}{f'-s{stride}' * (stride > 1)}": (
            functools.partial(layer, size=size, channels=channels, kernel=kernel, stride=stride)
        )
        for size, channels in _GRID
        for kernel in (3, 1)
        for stride in (1, 2)
    }


def _quantizers(binary: bool) -> dict[str, Any]:
    return dict.fromkeys(("input_quantizer", "kernel_quantizer"), "ste_sign" if binary else None)


def _convolution(x: Any, channels: int, kernel: int, stride: int, binary: bool) -> Any:
    options = {"strides": stride, "padding": "same", "use_bias": False}
    if binary:
        return lq.layers.QuantConv2D(
            channels,
            kernel,
            input_quantizer="ste_sign",
            kernel_quantizer="ste_sign",
            kernel_constraint="weight_clip",
            pad_values=1.0,
            **options,
        )(x)
    return keras.layers.Conv2D(channels, kernel, **options)(x)


def _halve(x: Any, channels: int) -> Any:
    x = keras.layers.DepthwiseConv2D(3, strides=2, padding="same", use_bias=False)(x)
    x = keras.layers.Conv2D(channels, 1, use_bias=False)(x)
    return keras.layers.BatchNormalization()(x)


MODELS: dict[str, Builder] = {
    "resnet18": resnet18,
    "quicknet": quicknet,
    "vgg_small": vgg_small,
    "resnet20": resnet20,
    **_grid(),
}
"""Networks first, then single layers: `layer-HEIGHTxWIDTHxCHANNELS-KERNEL`, `-s2` with stride 2."""
