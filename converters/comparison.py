"""Compares the outputs of a device file with Keras's, batch by batch."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn.converters import samples
from kbnn.converters.parity import Parity
from kbnn.converters.ties import TIE, Tie, TieProbe, largest_differences
from kbnn.graph.calls import calls_of
from kbnn.graph.freeze import freeze

TOLERANCE = 1e-3
"""Largest difference of an output that rounding alone may make."""

# A network with merged branches can have ties in every image, and a proof takes a moment.
_MOST_PROOFS = 100

RELATIVE_TOLERANCE = 1e-5
"""The same as a share of the image's largest output, for outputs beyond 100."""

RESIDUAL_AGREEMENT = 0.999
"""Share of equal classes below which a network with merged branches fails."""


class Comparison:
    """Adds up what the batches say.

    Args:
        model: the trained or the frozen model.
        interpreter: what runs the file.
        int8_agreement: for a file that computes in int8, the least share of equal classes; None
            for one that must give Keras's outputs.
    """

    def __init__(
        self, model: keras.Model, interpreter: str, int8_agreement: float | None = None
    ) -> None:
        self.samples = 0
        self._interpreter = interpreter
        self._int8_agreement = int8_agreement
        self._model = model
        self._predict = _traced(model)
        self._chain = is_chain(model)
        self._probe: TieProbe | None = None
        self._classifies = samples.classes(model) is not None
        # Equal classes are a second witness. Without it, a tie in the same image proves nothing:
        # a large network has one in every image.
        self._proof_needed = self._chain or not self._classifies
        self._differences: list[np.ndarray] = []
        self._above: list[np.ndarray] = []
        self._off_ties: list[np.ndarray] = []
        self._relative_errors: list[np.ndarray] = []
        self._agree: list[np.ndarray] = []
        self._right: list[tuple[np.ndarray, np.ndarray]] = []
        self._ties: dict[int, Tie] = {}
        self._class_ties: list[int] = []
        self._unexplained: list[int] = []
        self._not_frozen: list[int] = []

    # Outputs that are not finite fail the comparison; no warning besides.
    @np.errstate(invalid="ignore")
    def add(
        self, inputs: list[np.ndarray], labels: np.ndarray | None, device: list[np.ndarray]
    ) -> None:
        keras_outputs = [tensor.numpy() for tensor in self._predict(*map(tf.constant, inputs))]
        count = len(inputs[0])
        largest = np.max(
            [np.abs(output).reshape(count, -1).max(axis=1) for output in keras_outputs], axis=0
        )
        # An output that is not finite must not loosen the bound that it is held to.
        largest = np.where(np.isfinite(largest), largest, 0.0)
        tolerance = np.maximum(TOLERANCE, RELATIVE_TOLERANCE * largest)
        difference = largest_differences(keras_outputs, device)
        self._differences.append(difference)
        self._above.append(difference > tolerance)
        self._relative_errors.append(_relative_errors(keras_outputs, device))
        if self._int8_agreement is None:
            off_ties = self._explain(inputs, device, difference, tolerance)
        else:
            off_ties = difference
        self._off_ties.append(off_ties)
        if self._classifies:
            classes = keras_outputs[0].argmax(axis=1), device[0].argmax(axis=1)
            self._agree.append(classes[0] == classes[1])
            self._add_class_ties(keras_outputs[0], *classes, largest, difference <= tolerance)
            if labels is not None:
                self._right.append((classes[0] == labels, classes[1] == labels))
        self.samples += count

    def _add_class_ties(
        self,
        outputs: np.ndarray,
        by_keras: np.ndarray,
        by_device: np.ndarray,
        largest: np.ndarray,
        within: np.ndarray,
    ) -> None:
        """Note the images whose class hangs on the last bits of two outputs."""
        rows = np.arange(len(outputs))
        margin = outputs[rows, by_keras] - outputs[rows, by_device]
        tied = margin <= np.maximum(TIE, RELATIVE_TOLERANCE * largest)
        found = np.flatnonzero((by_keras != by_device) & within & tied)
        self._class_ties += [self.samples + int(i) for i in found]

    def _explain(
        self,
        inputs: list[np.ndarray],
        device: list[np.ndarray],
        difference: np.ndarray,
        tolerance: np.ndarray,
    ) -> np.ndarray:
        """Look for ties in the images above the tolerance; the differences off proven ties."""
        off_ties = difference.copy()
        above = np.flatnonzero(difference > tolerance)
        if len(above) and self._probe is None:
            self._probe = TieProbe(freeze(self._model))
        if self._probe is None:
            return off_ties
        for i in above:
            one, of_device = ([array[i : i + 1] for array in arrays] for arrays in (inputs, device))
            watched = self._probe.watch(one)
            # The probe is made of the frozen model: a wrong freeze is no tie. Both run the image
            # alone and unfused: how TensorFlow rounds depends on the batch and on what it fuses.
            if not all(
                np.allclose(a, b, rtol=0.0, atol=tolerance[i], equal_nan=True)
                for a, b in zip(watched.outputs, self._unfused(one), strict=True)
            ):
                self._not_frozen.append(self.samples + int(i))
                continue
            if self._proof_needed or len(self._ties) < _MOST_PROOFS:
                tie = self._probe.explain(one, watched, of_device, float(tolerance[i]))
            else:
                tie = Tie(watched.nearest, 0, float(difference[i]))
            proven = tie.nearest < TIE and tie.difference <= tolerance[i]
            if proven:
                off_ties[i] = tie.difference
            found = tie.nearest < TIE and bool(np.isfinite(difference[i]))
            if proven or (found and not self._proof_needed):
                self._ties[self.samples + int(i)] = tie
            else:
                self._unexplained.append(self.samples + int(i))
        return off_ties

    def _unfused(self, one: list[np.ndarray]) -> list[np.ndarray]:
        """The model's outputs for one image, operation by operation."""
        inputs = tf.nest.pack_sequence_as(self._model.input, [tf.constant(array) for array in one])
        outputs = tf.nest.flatten(self._model(inputs, training=False))
        return [output.numpy() for output in outputs]

    def parity(self) -> Parity:
        if not self.samples:
            raise ValueError("Expected `data` to hold images. Received: no batch")
        differences = np.concatenate(self._differences)
        agree = np.concatenate(self._agree) if self._agree else None
        right = np.concatenate(self._right, axis=1) if self._right else None
        relative_error = np.concatenate(self._relative_errors).mean()
        return Parity(
            samples=self.samples,
            max_difference=float(differences.max()),
            max_difference_off_ties=float(np.concatenate(self._off_ties).max()),
            class_agreement=None if agree is None else float(agree.mean()),
            keras_accuracy=None if right is None else float(right[0].mean()),
            device_accuracy=None if right is None else float(right[1].mean()),
            above_tolerance=int(np.concatenate(self._above).sum()),
            ties=self._ties,
            class_ties=self._class_ties,
            mean_relative_error=float(relative_error),
            chain=self._chain,
            interpreter=self._interpreter,
            int8=self._int8_agreement is not None,
            failures=(
                self._failures(differences, agree)
                if self._int8_agreement is None
                else self._int8_failures(self._int8_agreement, agree, relative_error)
            ),
        )

    def _int8_failures(
        self, least: float, agree: np.ndarray | None, relative_error: float
    ) -> list[str]:
        if agree is not None and agree.mean() < least:
            return [
                f"only {agree.mean():.4f} of the classes are equal in int8, {least} expected "
                "(int8_agreement)"
            ]
        if agree is None and not relative_error <= 1 - least:
            return [
                f"the outputs differ by {relative_error:.4f} on average in int8, at most "
                f"{1 - least:.4f} expected (1 - int8_agreement)"
            ]
        return []

    def _failures(self, differences: np.ndarray, agree: np.ndarray | None) -> list[str]:
        failures = []
        if self._not_frozen:
            failures.append(
                f"the frozen model differs from the trained one on {len(self._not_frozen)} of "
                f"{self.samples} images: a frozen_quantizer() or frozen_layer() does not compute "
                f"what it stands for; the first is image {self._not_frozen[0]}"
            )
        if self._unexplained:
            worst = differences[self._unexplained].max()
            failures.append(
                f"{len(self._unexplained)} of {self.samples} images differ by more than rounding "
                f"(up to {worst:.3g}) with no activation at a tie; the first is image "
                f"{self._unexplained[0]}"
            )
        if agree is not None and self._chain:
            explained = {*self._ties, *self._class_ties}
            unequal = sorted({int(i) for i in np.flatnonzero(~agree)} - explained)
            if unequal:
                failures.append(f"{len(unequal)} images have another class without a tie")
        elif agree is not None and agree.mean() < RESIDUAL_AGREEMENT:
            failures.append(
                f"only {agree.mean():.4f} of the classes are equal, {RESIDUAL_AGREEMENT} expected"
            )
        return failures


def _relative_errors(expected: list[np.ndarray], received: list[np.ndarray]) -> np.ndarray:
    """For each image the distance of the outputs, as a share of their norm."""
    a, b = (
        np.concatenate([o.reshape(len(o), -1) for o in found], 1) for found in (expected, received)
    )
    a, b = a.astype(np.float64), b.astype(np.float64)
    norm = np.linalg.norm(a, axis=1)
    return np.linalg.norm(b - a, axis=1) / np.where(norm > 0, norm, 1.0)


def _traced(model: keras.Model) -> Callable[..., list[tf.Tensor]]:
    """The model as one graph for batches of every size, which is never traced again."""
    specs = [tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype) for tensor in model.inputs]

    @tf.function
    def predict(*inputs: tf.Tensor) -> list[tf.Tensor]:
        return tf.nest.flatten(
            model(tf.nest.pack_sequence_as(model.input, list(inputs)), training=False)
        )

    return predict.get_concrete_function(*specs)


def is_chain(model: keras.Model) -> bool:
    """Whether no layer of a model takes more than one tensor."""
    return all(len(call.producers) <= 1 for call in calls_of(model))
