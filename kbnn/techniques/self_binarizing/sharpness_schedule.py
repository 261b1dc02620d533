"""Sharpens the smooth signs of a model while it trains."""

import math
from collections.abc import Callable
from typing import Any

import tf_keras as keras

from kbnn import _checks
from kbnn.techniques.self_binarizing.smooth_sign import SmoothSign, check_sharpness
from kbnn.techniques.self_binarizing.smooth_sign_layers import (
    KINDS,
    smooth_signs_by_layer,
    smooth_signs_of,
)
from kbnn.training.trainer import model_of

ORDERS = ("together", "layer_by_layer")

Law = Callable[[int, int], float]

_HOLD = 0.05


class SharpnessSchedule(keras.callbacks.Callback):
    r"""Raise the sharpness of every `SmoothSign` of a model, step by step.

    The sharpness rises geometrically, $\nu = \nu_0 (\nu_1 / \nu_0)^p$, where `p` grows from 0 to 1
    over the schedule. In the last part of the schedule, `hold`, `p` stays at 1.

    With `order="layer_by_layer"`, the layers become sharp one after the other, from the input of
    the model to its output: with L layers, `p` of layer i (from 0) rises while `p` of the whole
    schedule rises from i/L to (i+1)/L, and the forward pass of the layer becomes hard at the share
    (i+1)/L of `hard_forward_from`. Until then, later layers keep the sharpness `start`, so that no
    hard layer keeps the gradient from a layer before it that is still soft. Kernel and inputs of a
    layer become sharp together. A sign that a layer applies to its outputs, as
    `BinaryBatchNormalization` does, belongs to the next layer with a kernel.

    Every call of `fit` begins at `start`. The step is computed from the epoch and the batch of
    `fit`, so training that you resume with `BackupAndRestore` or `initial_epoch` follows the same
    schedule. If two schedules act on the same quantizers, the last one in the list of callbacks
    wins.

    Each epoch's logs contain the sharpness at its last step as `sharpness` (the mean over the
    layers), or as `kernel_sharpness` or `input_sharpness` if `quantizers` selects one kind. With
    `order="layer_by_layer"`, they also contain the number of layers whose forward pass is hard, as
    `hard_layers`, `kernel_hard_layers` or `input_hard_layers`. Place `CSVLogger` and `TensorBoard`
    after this callback in the list.

    Args:
        start: nu_0, the sharpness at the first step.
        stop: nu_1, the sharpness at the end.
        law: a function `law(step, steps)` that returns the sharpness, to replace the geometric law.
            `step` runs from 0 to `steps - 1` and stays there; `steps` is the length of the
            schedule. `start`, `stop` and `hold` then have no effect.
        steps: length of the schedule in training steps; by default the length of the training.
        epochs: length of the schedule in epochs; give `steps` or `epochs`, not both.
        hold: share of the schedule, at its end, that trains at `stop`. By default 0.05, or what
            follows `hard_forward_from` if this is between 0 and 1: the sharpness then reaches
            `stop` at the step at which the forward pass becomes hard.
        hard_forward_from: share of the schedule after which the forward pass is the hard sign,
            while the gradient remains the tanh's. 0 means always, 1 never. None does not
            change the quantizers' `hard_forward`.
        order: "together", all layers at the same time; or "layer_by_layer", from input to output.
        quantizers: "all", "kernel" (quantizers of kernels only) or "input" (all others). To
            sharpen kernels and inputs differently, give `fit` two schedules.

    Raises:
        ValueError: an argument is out of range, or there is a `law` with `order="layer_by_layer"`.
            In `fit`: the law returns no positive number; the model is not built or has no such
            `SmoothSign`; one `SmoothSign` quantizes both kernels and inputs, but the schedule is
            for one kind; the order is layer by layer, but layers share a `SmoothSign` or the model
            is subclassed; the number of batches is unknown; or `steps_per_execution` is not 1.

    Example:
        >>> import kbnn
        >>> schedule = kbnn.callbacks.SharpnessSchedule(start=1, stop=100, hold=0)
        >>> [round(schedule.sharpness(step, steps=3)) for step in range(3)]
        [1, 10, 100]

    Sources: "Self-Binarizing Networks" (Lahoud et al., 2019, arXiv 1902.00730) for the sharpening
    during training; "Layerwise Progressive Freezing" (Smith and Islam, 2026, arXiv 2606.27759) for
    the order from input to output, in which that paper makes randomly chosen entries hard. The
    law, its ends, `hold`, `hard_forward_from` and the separate schedules are kbnn's.
    """

    def __init__(
        self,
        start: float = 1.0,
        stop: float = 1000.0,
        law: Law | None = None,
        *,
        steps: int | None = None,
        epochs: int | None = None,
        hold: float | None = None,
        hard_forward_from: float | None = None,
        order: str = "together",
        quantizers: str = "all",
    ) -> None:
        super().__init__()
        for name, value in {"start": start, "stop": stop}.items():
            check_sharpness(name, value)
        for name, part in {"hold": hold, "hard_forward_from": hard_forward_from}.items():
            if part is not None:
                _checks.share(name, part)
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
        _checks.one_of("order", order, ORDERS)
        if law is not None and order != "together":
            raise ValueError(
                'Expected order="together" with a `law`, which gives all layers one sharpness. '
                f"Received: order={order!r}"
            )
        _checks.one_of("quantizers", quantizers, KINDS)
        self._start, self._stop, self._law = start, stop, law
        self._steps, self._epochs = steps, epochs
        self._hard_forward_from = hard_forward_from
        if hold is not None:
            self._rise = 1 - hold
        elif hard_forward_from is not None and 0 < hard_forward_from < 1:
            self._rise = hard_forward_from
        else:
            self._rise = 1 - _HOLD
        self._order, self._kind = order, quantizers
        self._layers: list[list[SmoothSign]] = []
        self._epoch = 0
        self._batch = 0
        self._values = [float(start)]

    def sharpness(self, step: int, steps: int, layer: int = 0, layers: int = 1) -> float:
        """Compute the sharpness at one step.

        Args:
            step: the training step, from 0.
            steps: length of the schedule.
            layer: which layer becomes sharp, from 0, if they do so one after the other.
            layers: number of these layers.

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
        begin = _first_step(self._rise * layer / layers, steps)
        end = min(_first_step(self._rise * (layer + 1) / layers, steps), steps - 1)
        if step >= end:
            return float(self._stop)
        progress = (step - begin) / (end - begin) if step > begin else 0.0
        return self._start * (self._stop / self._start) ** progress

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        _checks.built(self.model)
        self._layers = self._find_layers()
        if not any(self._layers):
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
        self._values = []
        for layer, signs in enumerate(self._layers):
            value = self.sharpness(step, steps, layer, len(self._layers))
            is_hard = self._is_hard(step, steps, layer)
            for sign in signs:
                sign.sharpness.assign(value)
                if is_hard is not None:
                    sign.hard_forward.assign(float(is_hard))
            if signs:
                self._values.append(value)
        self._batch = batch

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if batch != self._batch:
            raise _steps_at_once_error(batch - self._batch + 1)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is None:
            return
        prefix = "" if self._kind == "all" else f"{self._kind}_"
        logs[f"{prefix}sharpness"] = sum(self._values) / len(self._values)
        if self._order == "layer_by_layer":
            logs[f"{prefix}hard_layers"] = sum(map(_are_hard, self._layers))

    def _find_layers(self) -> list[list[SmoothSign]]:
        """Return the smooth signs that become sharp together, in order."""
        found = smooth_signs_of(self.model, self._kind)
        if self._order == "together":
            return [found]
        wanted = set(map(id, found))
        # Layers without a sign of this kind count too, so that schedules for both kinds agree.
        return [
            [sign for sign in signs if id(sign) in wanted]
            for signs in smooth_signs_by_layer(model_of(self.model))
        ]

    def _is_hard(self, step: int, steps: int, layer: int) -> bool | None:
        """Whether the forward pass of a layer is hard; None leaves it as it is."""
        share = self._hard_forward_from
        if share is None:
            return None
        return share < 1 and step >= _first_step(share * (layer + 1) / len(self._layers), steps)


def _first_step(share: float, steps: int) -> int:
    """The first step after a share of a schedule; a rounding error does not delay it."""
    return math.ceil(share * steps * (1 - 1e-12))


def _are_hard(signs: list[SmoothSign]) -> bool:
    return bool(signs) and all(keras.backend.get_value(sign.hard_forward) > 0 for sign in signs)


def _steps_at_once_error(count: int) -> ValueError:
    return ValueError(
        "Expected a model that trains one step at a time, because the sharpness changes at every "
        f"step. Received: {count} steps at once. Compile with steps_per_execution=1."
    )
