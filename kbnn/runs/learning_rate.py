"""The learning rate of a run."""

from typing import Any

import tensorflow as tf
import tf_keras as keras


def learning_rate(first: float, schedule: str, steps: int, warmup_steps: int = 0) -> Any:
    """Return a learning rate: a number, or a schedule of Keras.

    Args:
        first: The learning rate at the first step, or at the end of the warm-up.
        schedule: "cosine" or "linear", which reach 0 one step after the last, or "constant".
        steps: The number of training steps.
        warmup_steps: The number of steps in which the learning rate rises linearly to `first`.
    """
    rest = max(1, steps - warmup_steps)
    if schedule == "cosine":
        decay: Any = keras.optimizers.schedules.CosineDecay(first, rest)
    elif schedule == "linear":
        decay = keras.optimizers.schedules.PolynomialDecay(first, rest, end_learning_rate=0.0)
    else:
        decay = first
    return _WarmUp(first, decay, warmup_steps) if warmup_steps else decay


class _WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly, and then follows another schedule."""

    def __init__(self, top: float, then: Any, steps: int) -> None:
        super().__init__()
        self._top, self._then, self._steps = top, then, steps

    def __call__(self, step: Any) -> tf.Tensor:
        done = tf.cast(step, tf.float32)
        rising = self._top * (done + 1) / self._steps
        after = self._then(done - self._steps) if callable(self._then) else self._then
        return tf.where(done < self._steps, rising, after)

    def get_config(self) -> dict[str, Any]:
        return {"top": self._top, "then": self._then, "steps": self._steps}
