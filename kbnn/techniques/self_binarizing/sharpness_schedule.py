"""Sharpens the smooth signs of a model while it trains."""

import math
import numbers
from collections.abc import Callable
from typing import Any

import tf_keras as keras

from kbnn import _checks
from kbnn.graph.larq_quantizers import KERNEL_QUANTIZERS, quantizers_of
from kbnn.techniques.self_binarizing.smooth_sign import SmoothSign, check_sharpness

LAWS = ("geometric", "linear", "hashnet")
KINDS = ("all", "kernel", "input")
# HashNet's code raises its sharpness as the root of 1 + 0.005 step.
_HASHNET_RATE = 0.005

Law = str | Callable[[int, int], float]


class SharpnessSchedule(keras.callbacks.Callback):
    r"""Raise the sharpness of every `SmoothSign` of a model, step by step.

    With `p` from 0 to 1 over the training, but for its last part, `hold`, in which it stays 1:

    - "geometric": $\nu = \nu_0 (\nu_1 / \nu_0)^p$
    - "linear": $\nu = \nu_0 + (\nu_1 - \nu_0) p$
    - "hashnet": $\nu = \min(\nu_1, \nu_0 \sqrt{1 + 0.005\, step})$, as in HashNet's code; neither
      the number of all steps nor `hold` changes it, and it may end below $\nu_1$ (8 times $\nu_0$
      takes 12,600 steps)
    - a function `law(step, steps)`, which is given the step, from 0 to `steps - 1`, where it stays,
      and the number of all steps

    The place in the training is that of `fit`'s epoch and batch, so a training that goes on after
    `BackupAndRestore`, or with `initial_epoch`, follows the same schedule. The sharpness of its
    last step is written into the logs of each epoch as `sharpness` (`kernel_sharpness` or
    `input_sharpness` for one kind): put `CSVLogger` and `TensorBoard` behind this callback.

    Args:
        start: sharpness at the first step.
        stop: sharpness at the end.
        law: how it rises.
        steps: number of steps after which the schedule has ended; by default those of `fit`.
        epochs: the same in epochs.
        hold: share of the schedule, at its end, that trains at `stop`.
        hard_forward_from: share of the schedule after which the forward pass is the hard sign, the
            gradient still that of the smooth one; 1 for never. None leaves it as it is.
        quantizers: "all", or "kernel" or "input": a schedule for those that quantize kernels, or
            for all others. For two laws give `fit` two callbacks.

    Several calls of `fit` each begin at `start`, but for `initial_epoch`. Of two schedules for the
    same quantizers the last one counts.

    Raises:
        ValueError: an argument out of range; in `fit`, a law that gives no positive number, a model
            without such a `SmoothSign` or not built, a schedule for kernels or inputs where both
            have the same `SmoothSign`, data whose number of batches Keras does not know, or
            `steps_per_execution` other than 1.

    >>> import kbnn
    >>> schedule = kbnn.callbacks.SharpnessSchedule(start=1, stop=100, hold=0)
    >>> [round(schedule.sharpness(step, steps=3)) for step in range(3)]
    [1, 10, 100]

    Sources: "Self-Binarizing Networks" (Lahoud et al., 2019) sharpens during training; the laws,
    their ends, `hold` and `hard_forward_from` are kbnn's. "hashnet" is that of "HashNet" (Cao et
    al., 2017).
    """

    def __init__(
        self,
        start: float = 1.0,
        stop: float = 1000.0,
        law: Law = "geometric",
        *,
        steps: int | None = None,
        epochs: int | None = None,
        hold: float = 0.05,
        hard_forward_from: float | None = None,
        quantizers: str = "all",
    ) -> None:
        super().__init__()
        for name, value in {"start": start, "stop": stop}.items():
            check_sharpness(name, value)
        shares = {"hold": hold}
        if hard_forward_from is not None:
            shares["hard_forward_from"] = hard_forward_from
        for name, value in shares.items():
            if not _is_number(value) or not 0 <= value <= 1:
                raise ValueError(
                    f"Expected `{name}` to be a share, from 0 to 1. Received: {name}={value!r}"
                )
        for name, count in {"steps": steps, "epochs": epochs}.items():
            is_count = isinstance(count, numbers.Integral) and not isinstance(count, bool)
            if count is not None and (not is_count or count < 1):
                raise ValueError(
                    f"Expected `{name}` to be a positive integer or None. Received: {name}={count}"
                )
        if steps is not None and epochs is not None:
            raise ValueError(
                f"Expected `steps` or `epochs`. Received both: steps={steps}, epochs={epochs}"
            )
        if not callable(law) and law not in LAWS:
            raise ValueError(
                f"Expected `law` to be one of {', '.join(LAWS)}, or a function. Received: {law!r}"
            )
        if quantizers not in KINDS:
            raise ValueError(
                f"Expected `quantizers` to be one of {', '.join(KINDS)}. Received: {quantizers!r}"
            )
        self._start, self._stop, self._law = start, stop, law
        self._steps, self._epochs = steps, epochs
        self._hold, self._hard_forward_from = hold, hard_forward_from
        self._kind = quantizers
        self._chosen: list[SmoothSign] = []
        self._epoch = 0
        self._batch = 0
        self._value = float(start)

    def sharpness(self, step: int, steps: int) -> float:
        """The sharpness at a step, counted from 0, of a schedule of `steps`."""
        if callable(self._law):
            step = min(step, steps - 1)
            value = self._law(step, steps)
            check_sharpness(f"law({step}, {steps})", value)
            return float(value)
        if self._law == "hashnet":
            return min(self._stop, self._start * math.sqrt(1 + _HASHNET_RATE * step))
        last = round((1 - self._hold) * steps) - 1
        progress = min(1.0, step / last) if last > 0 else 1.0
        if self._law == "linear":
            return self._start + (self._stop - self._start) * progress
        return self._start * (self._stop / self._start) ** progress

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        _checks.built(self.model)
        self._chosen = _smooth_signs(self.model, self._kind)
        if not self._chosen:
            kind = "" if self._kind == "all" else f" as {self._kind} quantizer"
            raise ValueError(
                f"Expected a model with a kbnn.quantizers.SmoothSign{kind}. "
                f"Received: model={self.model.name!r} without one"
            )
        setting = getattr(self.model, "_steps_per_execution", None)
        at_once = 1 if setting is None else int(keras.backend.get_value(setting))
        if at_once != 1:
            raise _several_steps(at_once)
        if self.params.get("steps") is None:
            raise ValueError(
                "Expected data whose number of batches is known. Received: data without a length. "
                "Give `fit` a steps_per_epoch, or the dataset "
                ".apply(tf.data.experimental.assert_cardinality(...))."
            )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        in_epoch = self.params["steps"]
        step = self._epoch * in_epoch + batch
        steps = self._steps or in_epoch * (self._epochs or self.params["epochs"])
        self._value = self.sharpness(step, steps)
        for quantizer in self._chosen:
            quantizer.sharpness.assign(self._value)
            if self._hard_forward_from is not None:
                is_hard = self._hard_forward_from < 1 and step >= self._hard_forward_from * steps
                quantizer.hard_forward.assign(float(is_hard))
        self._batch = batch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if batch != self._batch:
            raise _several_steps(batch - self._batch + 1)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            prefix = "" if self._kind == "all" else f"{self._kind}_"
            logs[f"{prefix}sharpness"] = self._value


def _smooth_signs(model: keras.Model, kind: str) -> list[SmoothSign]:
    """The smooth signs in a model, at any depth, that quantize what `kind` says."""
    found = [module for module in model.submodules if isinstance(module, SmoothSign)]
    if kind == "all":
        return found
    roles: dict[int, set[str]] = {}
    for layer in model.submodules:
        if isinstance(layer, keras.layers.Layer):
            for argument, quantizer in quantizers_of(layer).items():
                role = "kernel" if argument in KERNEL_QUANTIZERS else "input"
                roles.setdefault(id(quantizer), set()).add(role)
    for one in found:
        if len(roles.get(id(one), ())) > 1:
            raise ValueError(
                f"Expected kernels and inputs to have a SmoothSign each. Received: {one.name!r} "
                "for both. Give each its own: kbnn.quantizers.clone(quantizer, name)."
            )
    return [one for one in found if roles.get(id(one), {"input"}) == {kind}]


def _several_steps(count: int) -> ValueError:
    return ValueError(
        f"Expected single steps of training, to sharpen step by step. Received: {count} steps at "
        "once. Compile with steps_per_execution=1."
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and math.isfinite(value)
