"""Small random networks of what users build, for checks of the converters."""

from collections.abc import Callable
from typing import Any

import larq as lq
import numpy as np
import tf_keras as keras

SIGNS = {
    "input_quantizer": "ste_sign",
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
}
_CHANNELS = (3, 8, 24, 32, 33, 64)


def random_network(seed: int) -> keras.Model:
    """Build a network with random layers, connections and weights.

    Args:
        seed: the same seed gives the same network.
    """
    return _Builder(np.random.default_rng(seed)).model()


class _Builder:
    """Adds random layers to a network.

    Args:
        rng: decides everything.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def model(self) -> keras.Model:
        x = image = keras.Input(self._image_shape(), name="image")
        if self._chance(0.6):
            x = keras.layers.Conv2D(self._channels(), 3, padding="same", use_bias=False)(x)
            x = keras.layers.BatchNormalization()(x)
        for _ in range(int(self._rng.integers(1, 5))):
            x = self._choose(self._chain, self._residual, self._branches)(x)
        x = self._end(x)
        model = keras.Model(image, x)
        self._randomize(model)
        return model

    def _image_shape(self) -> tuple[int, int, int]:
        side = int(self._rng.choice([6, 8, 9]))
        return side, int(self._rng.choice([side, 7])), self._channels()

    def _chain(self, x: Any) -> Any:
        x = self._between(self._convolution(x))
        if self._chance(0.3) and min(x.shape[1:3]) >= 4:
            pool = self._choose(keras.layers.MaxPooling2D, keras.layers.AveragePooling2D)
            x = pool(2, padding=self._choose("same", "valid"))(x)
            if self._chance(0.3):
                x = keras.layers.BatchNormalization()(x)
        return x

    def _residual(self, x: Any) -> Any:
        layer = self._convolution(x, filters=x.shape[-1], keep_size=True)
        y = self._between(layer)
        x = self._choose(keras.layers.Add, keras.layers.Subtract)()([x, y])
        return keras.layers.BatchNormalization()(x) if self._chance(0.3) else x

    def _branches(self, x: Any) -> Any:
        branches = [self._between(self._convolution(x, keep_size=True)) for _ in range(2)]
        if self._chance(0.3):
            branches.append(x)
        return keras.layers.Concatenate()(branches)

    def _convolution(self, x: Any, filters: int | None = None, keep_size: bool = False) -> Any:
        size = int(self._rng.choice([1, 3]))
        options: dict[str, Any] = {"strides": 1}
        if keep_size:
            options["padding"] = "same"
        else:
            options["padding"] = self._choose("same", "valid")
            if self._chance(0.3):
                options["strides"] = 2
            elif self._chance(0.2):
                options["dilation_rate"] = 2
        if options["padding"] == "valid" and min(x.shape[1:3]) < 6:
            options.update(padding="same")
        if self._chance(0.15) and x.shape[-1] % 64 == 0:
            options["groups"] = 2
        activation = self._choose(None, None, None, "relu")
        return lq.layers.QuantConv2D(
            *(filters or self._filters(options), size),
            pad_values=float(self._choose(0, 1, 1)),
            use_bias=self._chance(0.3),
            activation=activation,
            **options,
            **{**SIGNS, "kernel_quantizer": self._choose("ste_sign", "magnitude_aware_sign")},
        )(x)

    def _between(self, x: Any) -> Any:
        """What comes between a binary convolution and the next one."""
        layers: list[Callable[[], keras.layers.Layer]] = [
            keras.layers.BatchNormalization,
            lambda: keras.layers.BatchNormalization(scale=False),
            keras.layers.ReLU,
            lambda: keras.layers.ReLU(6.0),
            keras.layers.LeakyReLU,
            lambda: keras.layers.PReLU(shared_axes=[1, 2]),
            lambda: keras.layers.Activation("swish"),
            lambda: keras.layers.Dropout(0.1),
        ]
        x = keras.layers.BatchNormalization()(x) if self._chance(0.7) else x
        for _ in range(int(self._rng.integers(0, 2))):
            x = layers[int(self._rng.integers(len(layers)))]()(x)
        # A sign directly behind a ReLU is always +1.
        return keras.layers.BatchNormalization()(x)

    def _end(self, x: Any) -> Any:
        if self._chance(0.5):
            x = self._choose(keras.layers.GlobalAveragePooling2D, keras.layers.Flatten)()(x)
        if self._chance(0.4):
            options = {**SIGNS, "use_bias": self._chance(0.5)}
            x = keras.layers.BatchNormalization()(lq.layers.QuantDense(40, **options)(x))
            x = keras.layers.BatchNormalization()(lq.layers.QuantDense(12, **options)(x))
        return keras.layers.Dense(5)(x) if self._chance(0.7) else x

    def _filters(self, options: dict[str, Any]) -> int:
        return 2 * self._channels() if "groups" in options else self._channels()

    def _channels(self) -> int:
        return int(self._rng.choice(_CHANNELS))

    def _choose(self, *options: Any) -> Any:
        return options[int(self._rng.integers(len(options)))]

    def _chance(self, probability: float) -> bool:
        return bool(self._rng.random() < probability)

    def _randomize(self, model: keras.Model) -> None:
        """Give every weight a value as after training: fresh statistics put values on ties."""
        for weight in model.weights:
            name = weight.name.split("/")[-1]
            value = self._rng.normal(scale=0.3, size=weight.shape)
            if name.startswith("moving_variance"):
                value = self._rng.uniform(0.5, 2.0, weight.shape)
            elif name.startswith(("gamma", "beta", "moving_mean")):
                value = self._rng.normal(size=weight.shape)
            weight.assign(value)
