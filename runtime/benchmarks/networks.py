"""The networks with which the runtime is timed, each with a float twin.

A builder takes `binary`: True builds the binary network, False the same topology without quantizers
and with ReLU in place of the signs. Weights and the statistics of batch normalization are random,
so that no sign is a tie and no channel is dead. The time of an operator does not depend on its
values.
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
    """Return Bi-Real ResNet-18 with the ImageNet stem."""
    return kbnn.models.resnet18((size, size, 3), **_quantizers(binary))


def vgg_small(binary: bool) -> keras.Model:
    """Return VGG-small for images of CIFAR: a chain, whose activations stay packed."""
    return kbnn.models.vgg_small(**_quantizers(binary))


def resnet20(binary: bool) -> keras.Model:
    """Return ResNet-20 for images of CIFAR, with 16 to 64 channels."""
    return kbnn.models.resnet20(**_quantizers(binary))


def quicknet(
    binary: bool,
    size: int = 224,
    sections: tuple[tuple[int, int], ...] = _SECTIONS,
    classes: int = 1000,
) -> keras.Model:
    """Return a network like QuickNet.

    It has a strided real stem and residual binary 3x3 convolutions. Between its sections, a real
    depthwise convolution halves the image and a pointwise convolution changes the channels. The
    plan follows "Larq Compute Engine" (Bannink et al., 2021), section 4, except that the depthwise
    kernels are random instead of a blur and that every section has four layers.

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
    """Return one convolution with batch normalization, with real inputs and outputs.

    The binary layer starts with an operator that takes the signs of its input.
    """
    image = keras.Input((size, size, channels), name="image")
    x = _convolution(image, channels, kernel, stride, binary)
    return keras.Model(image, keras.layers.BatchNormalization()(x), name="layer")


def randomize_statistics(model: keras.Model, seed: int = 0) -> keras.Model:
    """Set random weights and statistics in every batch normalization of a model."""
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
