"""The settings of a run's training."""

import dataclasses
from typing import Any

import tf_keras as keras

from kbnn._settings import Settings, document_settings, setting
from kbnn.runs.learning_rate import learning_rate
from kbnn.runs.losses import SmoothedCrossentropy

_MOMENTUM = 0.9
# The default learning rates: for new weights, and for a network that has been trained.
_RATES = {"adam": (0.005, 0.001), "sgd": (0.1, 0.01)}


@document_settings
@dataclasses.dataclass(frozen=True)
class Fit(Settings):
    """How long a run trains, and with which optimizer.

    Args:
        {settings}

    Raises:
        ValueError: A value is not valid.
    """

    epochs: int = setting(20, "passes over the training images", least=1, flag="--epochs")
    optimizer: str = setting(
        "adam",
        f"optimizer; sgd has a momentum of {_MOMENTUM}",
        choices=tuple(_RATES),
        flag="--optimizer",
    )
    learning_rate: float | None = setting(
        None,
        "learning rate at the first step, or at the end of the warm-up",
        above=0,
        unset=", ".join(
            f"{new} with {name} ({trained} if the network has been trained)"
            for name, (new, trained) in _RATES.items()
        ),
        flag="--learning-rate",
    )
    schedule: str = setting(
        "cosine",
        "how the learning rate falls to 0: along a cosine or a line; constant keeps it",
        choices=("cosine", "linear", "constant"),
        flag="--schedule",
    )
    warmup: float = setting(
        0.0, "epochs in which the learning rate rises linearly to its highest value", least=0
    )
    weight_decay: float = setting(
        0.0,
        "weight decay as in AdamW: each step subtracts this value times the learning rate times "
        "the kernel; biases, normalizations and other vectors do not decay",
        least=0,
        most=1e4,
    )
    label_smoothing: float = setting(
        0.0, "share of each label that is spread evenly over all classes", least=0, most=1
    )
    clip_norm: float | None = setting(
        None, "largest norm of the gradient of all weights", above=0, unset="no clipping"
    )
    average_weights: float | None = setting(
        None,
        "momentum of moving averages of the weights, which replace the weights at the end",
        least=0,
        most=1,
        unset="no averages",
    )
    recalibration: int = setting(
        100,
        "batches of training images on which the run measures the statistics of batch "
        "normalization anew at the end; 0 keeps the moving averages",
        least=0,
    )
    precision: str = setting(
        "float32",
        "number format of the training; bfloat16 is faster on processors that support it; the "
        "result is always in float32",
        choices=("float32", "bfloat16"),
        flag="--precision",
    )
    seed: int = setting(
        0,
        "seed of the initial weights, the held-out images, their order and their augmentation",
        least=0,
        most=2**32 - 1,
        flag="--seed",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warmup >= self.epochs:
            raise ValueError(
                "Expected `warmup` to be shorter than the training. "
                f"Received: warmup={self.warmup:g}, epochs={self.epochs}"
            )

    def complete(self, is_pretrained: bool) -> "Fit":
        """Fill in the learning rate."""
        if self.learning_rate is not None:
            return self
        return self.replace(learning_rate=_RATES[self.optimizer][is_pretrained])

    @property
    def policy(self) -> str:
        """The dtype policy of Keras for the layers that are trained."""
        return "float32" if self.precision == "float32" else f"mixed_{self.precision}"

    def compile(self, model: keras.Model, steps: int) -> None:
        """Compile a model for a training of `steps`: with its optimizer, loss and metrics."""
        loss = (
            SmoothedCrossentropy(self.label_smoothing)
            if self.label_smoothing
            else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        )
        model.compile(self._optimizer(model, steps), loss, metrics=["accuracy"])

    def _optimizer(self, model: keras.Model, steps: int) -> keras.optimizers.Optimizer:
        warmup_steps = round(self.warmup * steps / self.epochs)
        first = self.learning_rate
        if first is None:
            first, _ = _RATES[self.optimizer]
        rate = learning_rate(first, self.schedule, steps, warmup_steps)
        options: dict[str, Any] = {"global_clipnorm": self.clip_norm}
        if self.average_weights is not None:
            options |= {"use_ema": True, "ema_momentum": self.average_weights}
        if self.weight_decay:
            options["weight_decay"] = self.weight_decay
        if self.optimizer == "adam":
            optimizer = keras.optimizers.Adam(rate, **options)
        else:
            optimizer = keras.optimizers.SGD(rate, momentum=_MOMENTUM, **options)
        vectors = [weight for weight in model.trainable_weights if weight.shape.rank < 2]
        optimizer.exclude_from_weight_decay(vectors)
        return optimizer
