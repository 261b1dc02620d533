"""Compares the outputs of a device file with Keras's outputs, batch by batch."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tf_keras as keras

from kbnn.converters.device_model import DeviceModel
from kbnn.converters.parity import Parity
from kbnn.converters.samples import class_count
from kbnn.converters.ties import TIE, Tie, TieProbe, largest_differences
from kbnn.graph.calls import calls_of

TOLERANCE = 1e-3
"""The largest difference of an output that counts as rounding."""

# A network with merged branches can have ties in every image, and each proof takes time.
_MOST_PROOFS = 100

RELATIVE_TOLERANCE = 1e-5
"""The same as a share of the image's largest output, which counts for outputs above 100."""

RESIDUAL_AGREEMENT = 0.999
"""Share of equal classes below which a network with merged branches fails."""


class Comparison:
    """Collects the differences batch by batch.

    Args:
        device_model: the model.
        interpreter: the name of the interpreter that runs the file.
        int8_agreement: for an int8 file, the share of equal classes that it must reach; None for
            a file that must give Keras's outputs.

    Attributes:
        samples: how many images were added.
    """

    def __init__(
        self, device_model: DeviceModel, interpreter: str, int8_agreement: float | None = None
    ) -> None:
        self.samples = 0
        self._device_model = device_model
        self._interpreter = interpreter
        self._int8_agreement = int8_agreement
        self._model = device_model.in_float32
        self._predict = _trace(self._model)
        self._chain = is_chain(self._model)
        self._probe: TieProbe | None = None
        self._classifies = class_count(self._model) is not None
        # Equal classes are additional evidence. Without them an unproven tie explains nothing,
        # because a large network has one in every image.
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

    # Outputs that are not finite fail the comparison, so NumPy need not warn.
    @np.errstate(invalid="ignore")
    def add(
        self, inputs: list[np.ndarray], labels: np.ndarray | None, device: list[np.ndarray]
    ) -> None:
        """Add a batch: its inputs, its class numbers, and the outputs of the file."""
        keras_outputs = [tensor.numpy() for tensor in self._predict(*map(tf.constant, inputs))]
        count = len(inputs[0])
        largest = np.max(
            [np.abs(output).reshape(count, -1).max(axis=1) for output in keras_outputs], axis=0
        )
        # An output that is not finite must not raise the tolerance.
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
        """Record the images whose class depends on the last bits of two outputs."""
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
        """Look for ties in the images above the tolerance.

        Returns:
            The largest difference of each image, with proven ties flipped.
        """
        off_ties = difference.copy()
        above = np.flatnonzero(difference > tolerance)
        if len(above) and self._probe is None:
            self._probe = TieProbe(self._device_model.frozen.model)
        if self._probe is None:
            return off_ties
        for i in above:
            one, of_device = ([array[i : i + 1] for array in arrays] for arrays in (inputs, device))
            watched = self._probe.watch(one)
            # A wrong freeze is not a tie, so the probe's frozen model must agree with the model.
            # Both run a single image unfused: TensorFlow's rounding depends on batch and fusion.
            if not all(
                np.allclose(a, b, rtol=0.0, atol=tolerance[i], equal_nan=True)
                for a, b in zip(watched.outputs, self._predict_one(one), strict=True)
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

    def _predict_one(self, one: list[np.ndarray]) -> list[np.ndarray]:
        """The model's outputs for one image, operation by operation."""
        inputs = tf.nest.pack_sequence_as(self._model.input, [tf.constant(array) for array in one])
        outputs = tf.nest.flatten(self._model(inputs, training=False))
        return [output.numpy() for output in outputs]

    def parity(self) -> Parity:
        """The result for all images that were added.

        Raises:
            ValueError: no image was added.
        """
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
                f"only {agree.mean():.4f} of the classes are equal in int8; `int8_agreement` asks "
                f"for {least}"
            ]
        if agree is None and not relative_error <= 1 - least:
            return [
                f"the int8 outputs differ by {relative_error:.4f} on average; `int8_agreement` "
                f"allows {1 - least:.4f}"
            ]
        return []

    def _failures(self, differences: np.ndarray, agree: np.ndarray | None) -> list[str]:
        failures = []
        if self._not_frozen:
            failures.append(
                f"the frozen model differs from the trained one on {len(self._not_frozen)} of "
                f"{self.samples} images, the first of which is image {self._not_frozen[0]}: a "
                "frozen_quantizer() or frozen_layer() computes something else than its original"
            )
        if self._unexplained:
            worst = differences[self._unexplained].max()
            failures.append(
                f"{len(self._unexplained)} of {self.samples} images differ by more than rounding "
                f"(up to {worst:.3g}) without a tie that explains it; the first is image "
                f"{self._unexplained[0]}"
            )
        if agree is not None and self._chain:
            explained = {*self._ties, *self._class_ties}
            unequal = sorted({int(i) for i in np.flatnonzero(~agree)} - explained)
            if unequal:
                failures.append(f"{len(unequal)} images have another class without a tie")
        elif agree is not None and agree.mean() < RESIDUAL_AGREEMENT:
            failures.append(
                f"only {agree.mean():.4f} of the classes are equal; a network with merged branches "
                f"must reach {RESIDUAL_AGREEMENT}"
            )
        return failures


def _relative_errors(expected: list[np.ndarray], received: list[np.ndarray]) -> np.ndarray:
    """For each image the norm of the difference of the outputs, divided by their norm."""
    a, b = (
        np.concatenate([o.reshape(len(o), -1) for o in found], 1) for found in (expected, received)
    )
    a, b = a.astype(np.float64), b.astype(np.float64)
    norm = np.linalg.norm(a, axis=1)
    return np.linalg.norm(b - a, axis=1) / np.where(norm > 0, norm, 1.0)


def _trace(model: keras.Model) -> Callable[..., list[tf.Tensor]]:
    """The model as one graph for batches of any size, so that it is traced only once."""
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
