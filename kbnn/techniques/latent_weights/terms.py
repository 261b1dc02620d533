"""Terms of the loss by which a real-valued path teaches a binary one."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras as keras

from kbnn import _checks


def distillation(binary_logits: Any, real_logits: Any, temperature: float = 1.0) -> tf.Tensor:
    r"""Return the divergence of the binary path's class probabilities from the real path's.

    $$T^2\, \mathrm{KL}\big(\mathrm{softmax}(z_r / T) \,\|\, \mathrm{softmax}(z_b / T)\big)$$

    No gradient goes to the real path.

    Args:
        binary_logits: z_b, `(batch, classes)`.
        real_logits: z_r, in the same shape.
        temperature: T, above 0. The larger it is, the more unlikely classes count.

    Returns:
        A float32 number for each sample, `(batch,)`.

    Raises:
        ValueError: The temperature is not above 0.

    Example:
        >>> import kbnn
        >>> kbnn.losses.distillation([[1.0, 0.0]], [[1.0, 0.0]], temperature=4.0).numpy()
        array([0.], dtype=float32)

    Source: "Distilling the Knowledge in a Neural Network" (Hinton et al., 2015). The factor T^2
    keeps the size of the gradients.
    """
    _checks.number("temperature", temperature, above=0)
    student = tf.nn.log_softmax(tf.cast(binary_logits, tf.float32) / temperature)
    teacher = tf.nn.log_softmax(tf.stop_gradient(tf.cast(real_logits, tf.float32)) / temperature)
    return temperature**2 * tf.reduce_sum(tf.exp(teacher) * (teacher - student), axis=-1)


def feature_distance(binary_features: Any, real_features: Any) -> tf.Tensor:
    r"""Return the squared distance of the directions of two features.

    $$\Big\| \frac{f_b}{\|f_b\|} - \frac{f_r}{\|f_r\|} \Big\|^2$$

    where the features of a sample are flattened. It is from 0 to 4. No gradient goes to the real
    path.

    Args:
        binary_features: f_b, `(batch, ...)`.
        real_features: f_r, in the same shape.

    Returns:
        A float32 number for each sample, `(batch,)`.

    Example:
        >>> import kbnn
        >>> kbnn.losses.feature_distance([[3.0, 0.0]], [[0.0, 5.0]]).numpy()
        array([2.], dtype=float32)

    Source: kbnn's.
    """
    binary, real = (
        tf.math.l2_normalize(
            tf.reshape(tf.cast(features, tf.float32), (tf.shape(features)[0], -1)), axis=-1
        )
        for features in (binary_features, tf.stop_gradient(real_features))
    )
    return tf.reduce_sum(tf.square(binary - real), axis=-1)


def check_weight(weight: Any, name: str = "weight") -> None:
    """Raise ValueError unless a weight is a number of at least 0, or a schedule."""
    is_schedule = isinstance(weight, keras.optimizers.schedules.LearningRateSchedule)
    if not (is_schedule or _checks.is_number(weight, least=0)):
        expected = "a number of at least 0, or a LearningRateSchedule of Keras 2"
        raise _checks.refuse(name, expected, weight)


def weight_at(weight: Any, step: Any) -> Any:
    """Return a weight, which may be a schedule, at a step of the optimizer."""
    return weight(step) if callable(weight) else weight


class Paths(NamedTuple):
    """What a term sees of a batch.

    The binary path is the network that is trained. The real-valued path teaches it: a twin in a
    `kbnn.trainers.LatentWeightTrainer`, a teacher in a `kbnn.trainers.DistillationTrainer`.

    Attributes:
        labels: The labels in the form that `fit` takes.
        binary: The outputs of the binary path, as the model returns them.
        real: The outputs of the real-valued path, in the same form.
        binary_logits: The outputs of the binary path before a softmax, float32, or None if the
            outputs are not classes.
        real_logits: The outputs of the real-valued path before a softmax.
        binary_features: The outputs of the layers that the term names, in the binary path, by
            layer name.
        real_features: The outputs of these layers in the real-valued path.
        real_loss: The compiled loss of the real-valued path, a scalar.
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
    """Base class for terms of the loss by which a real-valued path teaches a binary one.

    To write your own term, derive from this class and override `__call__`.

    Args:
        weight: A number of at least 0, or a `keras.optimizers.schedules.LearningRateSchedule` that
            returns it for a step of the optimizer.
        name: The name of the term in the logs. By default it is the name of the class.

    Attributes:
        layers: Names of the layers whose outputs the term needs in `Paths`. None means the layers
            in front of the binary layers and of the classifier.
        needs_classes: Whether the term needs the logits in `Paths`.
        trainable_layers: Layers of the term that are trained with the model.

    Raises:
        ValueError: The weight is out of range, or `layers` is not a list of names.
    """

    layers: tuple[str, ...] | None = ()
    needs_classes = False
    trainable_layers: Sequence[keras.layers.Layer] = ()

    def __init__(self, weight: Any = 1.0, name: str | None = None) -> None:
        check_weight(weight)
        if self.layers is not None:
            _checks.names("layers", self.layers)
        self.weight = weight
        self.name = type(self).__name__ if name is None else name

    def build(
        self,
        binary_features: Mapping[str, tf.TensorShape],
        real_features: Mapping[str, tf.TensorShape],
    ) -> None:
        """Create the weights of `trainable_layers`. A trainer calls it once.

        Args:
            binary_features: The shapes of `Paths.binary_features`, `(None, ...)`.
            real_features: The shapes of `Paths.real_features`.
        """

    def __call__(self, paths: Paths) -> tf.Tensor:
        """Return the term without its weight: one number per sample, `(batch,)`, or a scalar."""
        raise NotImplementedError

    def weight_at(self, step: Any) -> Any:
        """Return the weight at a step of the optimizer."""
        return weight_at(self.weight, step)


class RealPathLoss(LatentSupervision):
    """The loss of the model, applied to the outputs of the real-valued path.

    Args:
        weight: As for `LatentSupervision`.
        name: The name of the term in the logs.
    """

    def __init__(self, weight: Any = 1.0, name: str = "real_path") -> None:
        super().__init__(weight, name)

    def __call__(self, paths: Paths) -> tf.Tensor:
        return paths.real_loss


class Distillation(LatentSupervision):
    """`distillation` from the real-valued path to the binary path.

    Args:
        weight: As for `LatentSupervision`.
        temperature: T, above 0.
        name: The name of the term in the logs.

    Raises:
        ValueError: An argument is out of range.
    """

    needs_classes = True

    def __init__(
        self, weight: Any = 1.0, temperature: Any = 4.0, name: str = "distillation"
    ) -> None:
        super().__init__(weight, name)
        _checks.number("temperature", temperature, above=0)
        self.temperature = temperature

    def __call__(self, paths: Paths) -> tf.Tensor:
        return distillation(paths.binary_logits, paths.real_logits, self.temperature)


class FeatureAlignment(LatentSupervision):
    """The mean of `feature_distance` over layers.

    Args:
        weight: As for `LatentSupervision`.
        layers: Names of the layers whose outputs are compared. By default these are the layers in
            front of the binary layers and of the classifier.
        name: The name of the term in the logs.

    Raises:
        ValueError: The weight is out of range, or `layers` are not names.
    """

    def __init__(
        self,
        weight: Any = 1.0,
        layers: Collection[str] | None = None,
        name: str = "feature_alignment",
    ) -> None:
        super().__init__(weight, name)
        self.layers = None if layers is None else _checks.names("layers", layers, required=True)

    def __call__(self, paths: Paths) -> tf.Tensor:
        distances = [
            feature_distance(features, paths.real_features[name])
            for name, features in paths.binary_features.items()
        ]
        return tf.add_n(distances) / len(distances)
