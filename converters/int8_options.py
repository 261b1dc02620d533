"""What `convert` is asked for about int8."""

import dataclasses
from typing import Any

import tf_keras as keras

from kbnn import _checks
from kbnn.converters.int8 import ALL, FORMS, LAYERS
from kbnn.converters.writer.integer_ports import INTEGERS


@dataclasses.dataclass(frozen=True)
class Int8Options:
    """The arguments of `convert` that only int8 files have.

    Attributes:
        form: one of `FORMS`; the argument `int8`.
        agreement: the argument `int8_agreement`.
        input_type: one of `INTEGERS`, or None.
        output_type: likewise.
    """

    form: str
    agreement: float | None
    input_type: str | None
    output_type: str | None

    def check(self, model: keras.Model, calibration_data: Any, *, writes_lce: bool) -> None:
        """Raise ValueError if an option fits neither the model nor the other arguments.

        Args:
            model: the model.
            calibration_data: as for `convert`.
            writes_lce: whether LCE's converter writes the file.
        """
        _checks.one_of("int8", self.form, FORMS)
        for name, value in self._types.items():
            _checks.one_of(name, value, (None, *INTEGERS))
        if calibration_data is None:
            self._check_unused()
            return
        if writes_lce and (self.form != ALL or any(self._types.values())):
            received = {"int8": self.form, **self._types}
            raise ValueError(
                'Expected `int8="all"`, and neither `input_type` nor `output_type`, because LCE\'s '
                "converter has no other form of int8. Received: "
                + ", ".join(f"{name}={value!r}" for name, value in received.items())
            )
        self._check_ports("input_type", model.inputs)
        self._check_ports("output_type", model.outputs)

    @property
    def _types(self) -> dict[str, str | None]:
        return {"input_type": self.input_type, "output_type": self.output_type}

    def _check_unused(self) -> None:
        """Raise ValueError if an option is given, because the file is not int8."""
        form = None if self.form == LAYERS else self.form
        given = {"int8": form, "int8_agreement": self.agreement, **self._types}
        for name, value in given.items():
            if value is not None:
                raise ValueError(
                    f"Expected `{name}` together with `calibration_data`, which makes the file "
                    f"int8. Received: {name}={value!r}, calibration_data=None"
                )

    def _check_ports(self, name: str, tensors: list[Any]) -> None:
        value = self._types[name]
        if value is not None and not all(tensor.dtype.is_floating for tensor in tensors):
            dtypes = ", ".join(tensor.dtype.name for tensor in tensors)
            raise ValueError(
                f"Expected `{name}` for a model that has real values there. "
                f"Received: {name}={value!r} for {dtypes}"
            )
