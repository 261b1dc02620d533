"""Sharpens the smooth signs of a model while it trains."""

from collections.abc import Callable
from typing import Any

import tf_keras as keras

from kbnn import _checks
from kbnn.graph.larq_quantizers import KERNEL_QUANTIZERS, quantizers_of
from kbnn.techniques.self_binarizing.smooth_sign import SmoothSign, check_sharpness

KINDS = ("all", "kernel", "input")

Law = Callable[[int, int], float]


class SharpnessSchedule(keras.callbacks.Callback):
    r"""Raise the sharpness of every `SmoothSign` of a model, step by step.

    The sharpness rises geometrically, $\nu = \nu_0 (\nu_1 / \nu_0)^p$, where `p` grows from 0 to 1
    over the schedule. In the last part of the schedule, `hold`, `p` stays at 1.

    Every call of `fit` begins at `start`. The step is computed from the epoch and the batch of
    `fit`, so training that you resume with `BackupAndRestore` or `initial_epoch` follows the same
    schedule. If two schedules act on the same quantizers, the last one in the list of callbacks
    wins.

    Each epoch's logs contain the sharpness of its last step as `sharpness`, or as
    `kernel_sharpness` or `input_sharpness` if `quantizers` selects one kind. Place `CSVLogger` and
    `TensorBoard` after this callback in the list.

    Args:
        start: nu_0, the sharpness at the first step.
        stop: nu_1, the sharpness at the end.
        law: a function `law(step, steps)` that returns the sharpness, to replace the geometric law.
            `step` runs from 0 to `steps - 1` and stays there; `steps` is the length of the
            schedule. `start`, `stop` and `hold` then have no effect.
        steps: length of the schedule in training steps; by default the length of the training.
        epochs: length of the schedule in epochs; give `steps` or `epochs`, not both.
        hold: share of the schedule, at its end, that trains at `stop`.
        hard_forward_from: share of the schedule after which the forward pass is the hard sign,
            while the gradient remains the tanh's. 0 means always, 1 never. None does not
            change the quantizers' `hard_forward`.
        quantizers: "all", "kernel" (quantizers of kernels only) or "input" (all others). To
            sharpen kernels and inputs differently, give `fit` two schedules.

    Raises:
        ValueError: an argument is out of range. In `fit`: the law returns no positive number; the
            model is not built or has no such `SmoothSign`; one `SmoothSign` quantizes both kernels
            and inputs, but the schedule is for one kind; the number of batches is unknown; or
            `steps_per_execution` is not 1.

    Example:
        >>> import kbnn
        >>> schedule = kbnn.callbacks.SharpnessSchedule(start=1, stop=100, hold=0)
        >>> [round(schedule.sharpness(step, steps=3)) for step in range(3)]
        [1, 10, 100]

    Source: "Self-Binarizing Networks" (Lahoud et al., 2019, arXiv 1902.00730) for the sharpening
    during training. The law, its ends, `hold`, `hard_forward_from` and the separate schedules are
    kbnn's.
    """

    def __init__(
        self,
        start: float = 1.0,
        stop: float = 1000.0,
        law: Law | None = None,
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
        _checks.share("hold", hold)
        if hard_forward_from is not None:
            _checks.share("hard_forward_from", hard_forward_from)
        for name, count in {"steps": steps, "epochs": epochs}.items():
            if count is not None:
                _checks.positive_int(name, count)
        if steps is not None and epochs is not None:
            raise ValueError(
                f"Expected `steps` or `epochs`. Received both: steps={steps}, epochs={epochs}"
            )
        if law is not None and not callable(law):
            expected = "a function law(step, steps), or None for the geometric law"
            raise _checks.refuse("law", expected, law)
        _checks.one_of("quantizers", quantizers, KINDS)
        self._start, self._stop, self._law = start, stop, law
        self._steps, self._epochs = steps, epochs
        self._hold, self._hard_forward_from = hold, hard_forward_from
        self._kind = quantizers
        self._quantizers: list[SmoothSign] = []
        self._epoch = 0
        self._batch = 0
        self._value = float(start)

    def sharpness(self, step: int, steps: int) -> float:
        """Compute the sharpness at one step.

        Args:
            step: the training step, from 0.
            steps: length of the schedule.

        Returns:
            nu at this step.

        Raises:
            ValueError: the given law does not return a positive number.
        """
        if self._law is not None:
            step = min(step, steps - 1)
            value = self._law(step, steps)
            check_sharpness(f"law({step}, {steps})", value)
            return float(value)
        last = round((1 - self._hold) * steps) - 1
        progress = min(1.0, step / last) if last > 0 else 1.0
        return self._start * (self._stop / self._start) ** progress

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        _checks.built(self.model)
        self._quantizers = _find_smooth_signs(self.model, self._kind)
        if not self._quantizers:
            kind = "" if self._kind == "all" else f" as {self._kind} quantizer"
            raise ValueError(
                f"Expected a model with a kbnn.quantizers.SmoothSign{kind}. "
                f"Received: model={self.model.name!r} without one"
            )
        setting = getattr(self.model, "_steps_per_execution", None)
        at_once = 1 if setting is None else int(keras.backend.get_value(setting))
        if at_once != 1:
            raise _steps_at_once_error(at_once)
        if self.params.get("steps") is None:
            raise ValueError(
                "Expected data whose number of batches is known. Received: data without a length. "
                "Pass steps_per_epoch to `fit`, or set the length of the dataset with "
                ".apply(tf.data.experimental.assert_cardinality(...))."
            )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        in_epoch = self.params["steps"]
        step = self._epoch * in_epoch + batch
        steps = self._steps or in_epoch * (self._epochs or self.params["epochs"])
        self._value = self.sharpness(step, steps)
        for quantizer in self._quantizers:
            quantizer.sharpness.assign(self._value)
            if self._hard_forward_from is not None:
                is_hard = self._hard_forward_from < 1 and step >= self._hard_forward_from * steps
                quantizer.hard_forward.assign(float(is_hard))
        self._batch = batch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if batch != self._batch:
            raise _steps_at_once_error(batch - self._batch + 1)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is not None:
            prefix = "" if self._kind == "all" else f"{self._kind}_"
            logs[f"{prefix}sharpness"] = self._value


def _find_smooth_signs(model: keras.Model, kind: str) -> list[SmoothSign]:
    """The smooth signs of a model and of its nested models that quantize what `kind` says."""
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
                "Expected different SmoothSign objects for kernels and inputs. Received: "
                f"{one.name!r} for both. Copy it with kbnn.quantizers.clone(quantizer, name)."
            )
    return [one for one in found if roles.get(id(one), {"input"}) == {kind}]


def _steps_at_once_error(count: int) -> ValueError:
    return ValueError(
        "Expected a model that trains one step at a time, because the sharpness changes at every "
        f"step. Received: {count} steps at once. Compile with steps_per_execution=1."
    )
