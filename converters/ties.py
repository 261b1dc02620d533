"""Explains a difference between Keras and the device by activations on the edge of the sign.

Two right implementations of a real-valued layer round differently in the last bits. Where the
result is so close to zero that this changes its sign, the binary layers that follow see another
bit, and the outputs differ by far more than rounding. Such a tie is found here, and proven: with
the tied bits flipped, Keras gives the device's outputs.
"""

from typing import Any, NamedTuple

import larq as lq
import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn.converters.freeze import is_quantizer, is_sign
from kbnn.training.rewrite import Replacement, rewrite

# An activation closer to zero than this can change its sign by rounding.
TIE = 1e-4

_MOST_FLIPS = 4
_MOST_CANDIDATES = 32


class Tie(NamedTuple):
    """What was found for one image.

    Attributes:
        nearest: the smallest |z| at the input of any sign.
        flips: how many tied bits were flipped to get nearest to the device's outputs.
        difference: largest difference of the outputs after these flips.
    """

    nearest: float
    flips: int
    difference: float


class TieProbe:
    """A frozen model whose signs can be watched and flipped."""

    def __init__(self, frozen: keras.Model) -> None:
        self._calls: list[np.ndarray] = []
        self._flips: list[list[tuple[int, int]]] = []
        self._model = rewrite(frozen, self._tapped)

    def nearest(self, inputs: list[np.ndarray]) -> np.ndarray:
        """The smallest |z| at the input of any sign, for each image of a batch."""
        self._run(inputs, [[] for _ in inputs[0]])
        smallest = [np.abs(z).reshape(len(z), -1).min(axis=1) for z in self._calls]
        return np.min(smallest, axis=0) if smallest else np.full(len(inputs[0]), np.inf)

    def outputs(self, inputs: list[np.ndarray]) -> np.ndarray:
        """The frozen model's first output, with no bit flipped."""
        return self._run(inputs, [[] for _ in inputs[0]])

    def explain(self, inputs: list[np.ndarray], device: np.ndarray, tolerance: float) -> Tie:
        """Flip tied bits of one image, the best one first, until Keras agrees with the device.

        Args:
            inputs: the model's inputs, each with a batch of one.
            device: the device's (first) output, a batch of one.
            tolerance: difference of outputs that counts as agreement.
        """
        flips: list[tuple[int, int]] = []
        difference = self._differences(inputs, device, [flips])[0]
        nearest = float(min((np.abs(z).min() for z in self._calls), default=np.inf))
        while difference > tolerance and len(flips) < _MOST_FLIPS:
            trials = [[*flips, tie] for tie in self._candidates() if tie not in flips]
            if not trials:
                break
            differences = self._differences(inputs, device, trials)
            best = int(np.argmin(differences))
            if differences[best] >= difference:
                break
            flips, difference = trials[best], differences[best]
            self._run(inputs, [flips])
        return Tie(nearest, len(flips), float(difference))

    def _candidates(self) -> list[tuple[int, int]]:
        """The tied activations of the last run's only image, nearest to zero first."""
        ties = [
            (abs(float(z.flat[i])), call, int(i))
            for call, z in enumerate(self._calls)
            for i in np.flatnonzero(np.abs(z) < TIE)
        ]
        return [(call, i) for _, call, i in sorted(ties)[:_MOST_CANDIDATES]]

    def _differences(
        self, inputs: list[np.ndarray], device: np.ndarray, flips: list[list[tuple[int, int]]]
    ) -> np.ndarray:
        repeated = [np.repeat(array, len(flips), axis=0) for array in inputs]
        outputs = self._run(repeated, flips)
        return np.abs(outputs - device).reshape(len(flips), -1).max(axis=1)

    def _run(self, inputs: list[np.ndarray], flips: list[list[tuple[int, int]]]) -> np.ndarray:
        self._calls.clear()
        self._flips = flips
        tensors = tf.nest.pack_sequence_as(self._model.input, [tf.constant(a) for a in inputs])
        return tf.nest.flatten(self._model(tensors, training=False))[0].numpy()

    def _sign(self, z: tf.Tensor) -> tf.Tensor:
        call = len(self._calls)
        self._calls.append(z.numpy())
        factor = np.ones(z.shape, np.float32)
        for image, positions in enumerate(self._flips):
            for of_call, position in positions:
                if of_call == call:
                    factor[image].flat[position] = -1.0
        return lq.math.sign(z) * factor

    def _tapped(self, layer: keras.layers.Layer) -> Replacement | None:
        """The layer with its signs replaced by taps."""
        if isinstance(layer, lq.quantizers.Quantizer) and is_sign(layer):
            return Replacement(_Tap(self, name=layer.name, dtype="float32"), [])
        config = layer.get_config()
        taps: dict[str, Any] = {
            argument: _Tap(self, dtype="float32")
            for argument in ("input_quantizer", "activation")
            if is_quantizer(getattr(layer, argument, None)) and is_sign(getattr(layer, argument))
        }
        if not taps:
            return None
        return Replacement(type(layer).from_config({**config, **taps}), layer.get_weights())


class _Tap(lq.quantizers.Quantizer):
    """The sign, reporting to a probe whenever the model runs eagerly."""

    precision = 1

    def __init__(self, probe: TieProbe, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._probe = probe

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        # The model's construction calls it once with symbolic tensors.
        return self._probe._sign(inputs) if tf.executing_eagerly() else lq.math.sign(inputs)
