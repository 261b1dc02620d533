"""What a real-valued path teaches a binary one: distances of outputs and of features."""

import math
import numbers
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras as keras


def distillation(binary_logits: Any, real_logits: Any, temperature: float = 1.0) -> tf.Tensor:
    r"""The divergence of the binary path's classes from the real path's.

    $$T^2\, \mathrm{KL}\big(\mathrm{softmax}(z_r / T) \,\|\, \mathrm{softmax}(z_b / T)\big)$$

    No gradient goes to the real path.

    Args:
        binary_logits: z_b, `(batch, classes)`.
        real_logits: z_r, of the same shape.
        temperature: T, above 0; the larger, the more the unlikely classes count.

    Returns:
        A number for each sample, `(batch,)`, in float32.

    Raises:
        ValueError: a temperature that is not above 0.

    >>> import kbnn
    >>> kbnn.losses.distillation([[1.0, 0.0]], [[1.0, 0.0]], temperature=4.0).numpy()
    array([0.], dtype=float32)

    Source: "Distilling the Knowledge in a Neural Network" (Hinton et al., 2015), section 2; the
    factor T^2 there keeps the gradients' size.
    """
    check_temperature(temperature)
    student = tf.nn.log_softmax(tf.cast(binary_logits, tf.float32) / temperature)
    teacher = tf.nn.log_softmax(tf.stop_gradient(tf.cast(real_logits, tf.float32)) / temperature)
    return temperature**2 * tf.reduce_sum(tf.exp(teacher) * (teacher - student), axis=-1)


def feature_distance(binary_features: Any, real_features: Any) -> tf.Tensor:
    r"""The squared distance of two features' directions.

    $$\Big\| \frac{f_b}{\|f_b\|} - \frac{f_r}{\|f_r\|} \Big\|^2$$

    of the features of a sample, laid out in a row. From 0 to 4; no gradient goes to the real path.

    Args:
        binary_features: f_b, `(batch, ...)`.
        real_features: f_r, of the same shape.

    Returns:
        A number for each sample, `(batch,)`, in float32.

    >>> import kbnn
    >>> kbnn.losses.feature_distance([[3.0, 0.0]], [[0.0, 5.0]]).numpy()
    array([2.], dtype=float32)
    """
    binary, real = (
        tf.math.l2_normalize(
            tf.reshape(tf.cast(features, tf.float32), (tf.shape(features)[0], -1)), axis=-1
        )
        for features in (binary_features, tf.stop_gradient(real_features))
    )
    return tf.reduce_sum(tf.square(binary - real), axis=-1)


def check_temperature(temperature: Any) -> None:
    """Raise ValueError unless it is a number above 0."""
    is_number = isinstance(temperature, numbers.Real) and math.isfinite(temperature)
    if not is_number or temperature <= 0:
        raise ValueError(f"Expected `temperature` above 0. Received: temperature={temperature!r}")


def check_weight(weight: Any) -> None:
    """Raise ValueError unless it is a number from 0 on, or a schedule of it."""
    is_schedule = isinstance(weight, keras.optimizers.schedules.LearningRateSchedule)
    is_number = isinstance(weight, numbers.Real) and not isinstance(weight, bool)
    if not is_schedule and not (is_number and 0 <= weight < math.inf):
        raise ValueError(
            "Expected `weight` to be a number from 0 on, or a LearningRateSchedule of Keras 2. "
            f"Received: weight={weight!r}"
        )


class Paths(NamedTuple):
    """What the two paths made of a batch.

    The binary path is the network that is trained; the real-valued path is the one that teaches it,
    a twin (`kbnn.trainers.LatentWeightTrainer`) or a teacher (`kbnn.trainers.DistillationTrainer`).

    Attributes:
        labels: as `fit` has them.
        binary: outputs of the binary path, as the model gives them.
        real: outputs of the real-valued path, in the same form.
        binary_logits: the same before a softmax, float32; None where there are no classes.
        real_logits: the same of the real-valued path.
        binary_features: outputs of the layers that the term wants to see, of the binary path, by
            layer name.
        real_features: the same of the real-valued path.
        real_loss: the compiled loss of the real-valued path, a scalar.
    """

    labels: Any
    binary: Any
    real: Any
    binary_logits: tf.Tensor | None
    real_logits: tf.Tensor | None
    binary_features: dict[str, tf.Tensor]
    real_features: dict[str, tf.Tensor]
    real_loss: tf.Tensor


class LatentSupervision:
    """A term of the loss by which a real-valued path helps a binary one; the base of all.

    A term of your own derives from it and overrides `__call__`.

    Args:
        weight: a factor, or a `keras.optimizers.schedules.LearningRateSchedule` that gives it by
            the step of the optimizer.
        name: of the term in the logs.

    Attributes:
        layers: names of the layers whose outputs the term wants to see in `Paths`; None for those
            in front of the binary layers and of the classifier.
        needs_classes: whether it takes the logits in `Paths`.
        trained: layers that the term has and that are trained beside the model.
    """

    layers: tuple[str, ...] | None = ()
    needs_classes = False
    trained: Sequence[keras.layers.Layer] = ()

    def __init__(self, weight: Any = 1.0, name: str | None = None) -> None:
        check_weight(weight)
        if isinstance(self.layers, str):
            raise ValueError(f"Expected `layers` to be names. Received: {self.layers!r}")
        self.weight = weight
        self.name = type(self).__name__ if name is None else name

    def build(
        self,
        binary_features: Mapping[str, tf.TensorShape],
        real_features: Mapping[str, tf.TensorShape],
    ) -> None:
        """Make the weights of `trained`; the trainer calls it when it is made.

        Args:
            binary_features: shapes, `(None, ...)`, of those in `Paths`.
            real_features: the same.
        """

    def __call__(self, paths: Paths) -> tf.Tensor:
        """The term without its weight: `(batch,)`, a number for each sample, or a scalar."""
        raise NotImplementedError

    def weight_at(self, step: Any) -> Any:
        """The weight at a step of the optimizer."""
        return self.weight(step) if callable(self.weight) else self.weight


class RealPathLoss(LatentSupervision):
    """The loss of the model, of the real-valued path's outputs."""

    def __init__(self, weight: Any = 1.0, name: str = "real_path") -> None:
        super().__init__(weight, name)

    def __call__(self, paths: Paths) -> tf.Tensor:
        return paths.real_loss


class Distillation(LatentSupervision):
    """`distillation` of the real-valued path's classes into the binary path.

    Args:
        weight: as for `LatentSupervision`.
        temperature: T.
    """

    needs_classes = True

    def __init__(
        self, weight: Any = 1.0, temperature: Any = 4.0, name: str = "distillation"
    ) -> None:
        super().__init__(weight, name)
        check_temperature(temperature)
        self.temperature = temperature

    def __call__(self, paths: Paths) -> tf.Tensor:
        return distillation(paths.binary_logits, paths.real_logits, self.temperature)


class FeatureAlignment(LatentSupervision):
    """The mean `feature_distance` over layers.

    Args:
        weight: as for `LatentSupervision`.
        layers: names of the layers whose outputs are compared; by default those in front of the
            binary layers and of the classifier.
    """

    def __init__(
        self,
        weight: Any = 1.0,
        layers: Collection[str] | None = None,
        name: str = "feature_alignment",
    ) -> None:
        super().__init__(weight, name)
        if isinstance(layers, str) or (layers is not None and not layers):
            raise ValueError(f"Expected `layers` to be names of layers. Received: {layers!r}")
        self.layers = None if layers is None else tuple(layers)

    def __call__(self, paths: Paths) -> tf.Tensor:
        distances = [
            feature_distance(features, paths.real_features[name])
            for name, features in paths.binary_features.items()
        ]
        return tf.add_n(distances) / len(distances)
