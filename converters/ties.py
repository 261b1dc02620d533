"""Explains a difference between Keras and the device by activations close to zero.

Two correct implementations of a real-valued layer round differently in the last bits. If a result
is so close to zero that rounding changes its sign, the next binary layers receive another bit, and
the outputs differ by far more than rounding. This module finds such a tie and proves it: with the
tied bits flipped, Keras gives the device's outputs.

After a binary layer, z takes few values. If one value in a channel is a tie, it is a tie at all
positions with that value, and the device decides all of them alike. Such bits are flipped together.
"""

import itertools
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn._larq import Quantizer, sign
from kbnn.graph.larq_quantizers import is_quantizer, is_sign
from kbnn.graph.layers import from_config
from kbnn.graph.rewrite import Replacement, rewrite

# An activation closer to zero than this can change its sign by rounding.
TIE = 1e-4

_NEAREST = 4
_MOST_FLIPS = 4
_MOST_CANDIDATES = 32

# Bits that are flipped together: the number of the sign, and the positions in its input.
_Flip = tuple[int, tuple[int, ...]]


class Tie(NamedTuple):
    """A tie in one image.

    Attributes:
        nearest: the smallest |z| at the input of any sign.
        flips: how many flips came closest to the device's outputs. A flip changes one tied bit, or
            all bits of a channel with the same z. It is 0 if Keras gives the device's outputs for
            this one image, but rounds differently in a batch.
        difference: the largest difference of the outputs after these flips.
    """

    nearest: float
    flips: int
    difference: float


class ProbeRun(NamedTuple):
    """The outputs of a run of the frozen model, and z at each of its signs."""

    outputs: list[np.ndarray]
    signs: list[np.ndarray]

    @property
    def nearest(self) -> float:
        """The smallest |z| at any sign."""
        return float(min((np.abs(z).min() for z in self.signs), default=np.inf))


class TieProbe:
    """Runs a frozen model, records the inputs of its signs, and can flip signs."""

    def __init__(self, frozen: keras.Model) -> None:
        self._signs: list[np.ndarray] = []
        self._flips: list[_Flip] = []
        self._model = rewrite(frozen, self._with_taps)

    def watch(self, inputs: list[np.ndarray]) -> ProbeRun:
        """Run the frozen model on a batch with no bit flipped."""
        return self._run(inputs, [])

    def explain(
        self,
        inputs: list[np.ndarray],
        unflipped: ProbeRun,
        device: list[np.ndarray],
        tolerance: float,
    ) -> Tie:
        """Flip tied bits of one image until Keras agrees with the device.

        It tries every combination of the four nearest ties, and then adds ties one at a time, each
        time the one that helps most.

        Args:
            inputs: the model's inputs, each with a batch of one.
            unflipped: what `watch` returned for these inputs.
            device: the device's outputs, each with a batch of one.
            tolerance: difference of outputs that counts as agreement.
        """

        def difference_with(flips: list[_Flip]) -> float:
            # One image at a time: in a batch TensorFlow may itself round a tie to the other side,
            # and the flip would undo that.
            return float(largest_differences(self._run(inputs, flips).outputs, device)[0])

        flips: list[_Flip] = []
        difference = float(largest_differences(unflipped.outputs, device)[0])
        if difference <= tolerance:
            return Tie(unflipped.nearest, 0, difference)
        # Two flips can be needed together when each one by itself increases the difference.
        nearest = _candidates(unflipped)[:_NEAREST]
        for count in range(1, len(nearest) + 1):
            for some in itertools.combinations(nearest, count):
                if (tried := difference_with([*some])) <= tolerance:
                    return Tie(unflipped.nearest, count, tried)
        while difference > tolerance and len(flips) < _MOST_FLIPS:
            watched = self._run(inputs, flips) if flips else unflipped
            trials = [[*flips, tie] for tie in _candidates(watched) if tie not in flips]
            if not trials:
                break
            differences = [difference_with(trial) for trial in trials]
            best = int(np.argmin(differences))
            if differences[best] >= difference:
                break
            flips, difference = trials[best], differences[best]
        return Tie(unflipped.nearest, len(flips), difference)

    def _run(self, inputs: list[np.ndarray], flips: list[_Flip]) -> ProbeRun:
        """Run the frozen model, with signs of the only image flipped."""
        self._signs = []
        self._flips = flips
        tensors = tf.nest.pack_sequence_as(self._model.input, [tf.constant(a) for a in inputs])
        outputs = tf.nest.flatten(self._model(tensors, training=False))
        return ProbeRun([output.numpy() for output in outputs], self._signs)

    def _sign(self, z: tf.Tensor) -> tf.Tensor:
        call = len(self._signs)
        self._signs.append(z.numpy())
        factor = np.ones(z.shape, np.float32)
        for number, positions in self._flips:
            if number == call:
                factor.flat[list(positions)] = -1.0
        return sign(z) * factor

    def _with_taps(self, layer: keras.layers.Layer) -> Replacement | None:
        """A copy of the layer with taps in place of its signs; None if it has none."""
        if isinstance(layer, Quantizer) and is_sign(layer):
            return Replacement(_Tap(self, name=layer.name, dtype="float32"), [])
        config = layer.get_config()
        taps: dict[str, Any] = {
            argument: _Tap(self, dtype="float32")
            for argument in ("input_quantizer", "activation")
            if is_quantizer(getattr(layer, argument, None)) and is_sign(getattr(layer, argument))
        }
        if not taps:
            return None
        return Replacement(from_config(layer, {**config, **taps}), layer.get_weights())


def largest_differences(ours: list[np.ndarray], theirs: list[np.ndarray]) -> np.ndarray:
    """The largest difference of any output for each image; infinite if an output is NaN."""
    return np.max(
        [
            # Comparisons with NaN are false, so NaN would count as agreement.
            np.nan_to_num(np.abs(a - b), nan=np.inf, posinf=np.inf).reshape(len(a), -1).max(axis=1)
            for a, b in zip(ours, theirs, strict=True)
        ],
        axis=0,
    )


def _candidates(watched: ProbeRun) -> list[_Flip]:
    """The tied activations of the only image, nearest to zero first: in groups, then one by one."""
    together: dict[tuple[float, int, int], list[int]] = {}
    for layer, z in enumerate(watched.signs):
        for i in np.flatnonzero(np.abs(z) < TIE):
            value = float(z.flat[i])
            together.setdefault((value, layer, int(i) % z.shape[-1]), []).append(int(i))
    ties = [
        (layer, tuple(positions))
        for (_, layer, _), positions in sorted(together.items(), key=lambda tie: abs(tie[0][0]))
    ]
    alone = [(layer, (i,)) for layer, positions in ties if len(positions) > 1 for i in positions]
    return [*ties[:_MOST_CANDIDATES], *alone[:_MOST_CANDIDATES]]


class _Tap(Quantizer):
    """The sign. It reports to a probe when the model runs eagerly."""

    precision = 1

    def __init__(self, probe: TieProbe, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._probe = probe

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        # Building the model calls it once with symbolic tensors.
        return self._probe._sign(inputs) if tf.executing_eagerly() else sign(inputs)
