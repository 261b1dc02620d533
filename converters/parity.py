"""The result of comparing a device file with the Keras model."""

import dataclasses
from typing import Any

from rich.table import Table

from kbnn.converters.ties import Tie


@dataclasses.dataclass(frozen=True)
class Parity:
    """How far a device file agrees with the Keras model on a data set.

    Attributes:
        samples: number of images compared.
        max_difference: the largest difference of an output (a logit or a probability, whichever the
            model gives) over all images.
        max_difference_off_ties: the same, but with the tied bits of images with a proven tie
            flipped as the device has them.
        class_agreement: the share of images with the same class; None unless the first output is
            `(batch, classes)`.
        keras_accuracy: the share of images that Keras classifies correctly; None without labels.
        device_accuracy: the same for the device file.
        above_tolerance: the number of images with a difference above 1e-3, or above 1e-5 of the
            largest output if that is more.
        ties: the ties of those images among them that a tie explains, by position in the data.
        class_ties: the images whose class differs although all outputs are within the tolerance,
            because Keras's outputs for the two classes are closer than 1e-4, or than 1e-5 of the
            largest output.
        mean_relative_error: the mean over the images of |device - Keras| / |Keras|, in Euclidean
            norms over all outputs.
        chain: whether no layer of the model merges branches.
        interpreter: the interpreter that ran the file, "kbnn-runtime" or "lce".
        int8: whether the file computes in int8, so that classes are compared instead of outputs.
        failures: why the file must not be used; empty if it passed.
    """

    samples: int
    max_difference: float
    max_difference_off_ties: float
    class_agreement: float | None
    keras_accuracy: float | None
    device_accuracy: float | None
    above_tolerance: int
    ties: dict[int, Tie]
    class_ties: list[int]
    mean_relative_error: float
    chain: bool
    interpreter: str
    int8: bool
    failures: list[str]

    @property
    def passed(self) -> bool:
        """Whether the file computes what the model computes."""
        return not self.failures

    def to_dict(self) -> dict[str, Any]:
        """The attributes, ready for JSON."""
        fields = dataclasses.asdict(self)
        fields["ties"] = {str(i): tie._asdict() for i, tie in self.ties.items()}
        return {**fields, "passed": self.passed}

    def __rich__(self) -> Table:
        table = Table(title="Keras and the device file", show_header=False)
        table.add_row("images", f"{self.samples}")
        table.add_row("interpreter", self.interpreter)
        table.add_row("largest difference", f"{self.max_difference:.3g}")
        if self.int8:
            table.add_row("mean relative error (int8)", f"{self.mean_relative_error:.3g}")
        if self.ties:
            table.add_row("images with a tie", f"{len(self.ties)}")
            table.add_row(
                "largest difference with ties flipped", f"{self.max_difference_off_ties:.3g}"
            )
        if self.class_ties:
            table.add_row("images with a tie of two classes", f"{len(self.class_ties)}")
        for label, share in [
            ("equal classes", self.class_agreement),
            ("Keras accuracy", self.keras_accuracy),
            ("device accuracy", self.device_accuracy),
        ]:
            if share is not None:
                table.add_row(label, f"{share:.4f}")
        table.add_row("passed", "yes" if self.passed else "no: " + "; ".join(self.failures))
        return table
