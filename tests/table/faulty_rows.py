"""A healthy quantizer, and copies of it that have one fault each; layers and callbacks too."""

import dataclasses
import random

import larq as lq
import numpy as np
import tensorflow as tf
import tf_keras as keras

import kbnn
from tests.table.rows import CallbackRow, LayerRow, QuantizerRow, by_name
from tests.table.table_rows import binary_model, sign


def register(cls: type) -> type:
    """Register a class with Keras, also under its bare name, which Larq looks up in `.h5` files."""
    keras.utils.register_keras_serializable("faulty")(cls)
    keras.utils.get_custom_objects()[cls.__name__] = cls
    return cls


@register
class Healthy(lq.quantizers.Quantizer):
    """tanh(sharpness x) in training, with an added loss; the sign at inference."""

    precision = 1

    def __init__(self, sharpness=1.0, **kwargs):
        super().__init__(**kwargs)
        self.initial_sharpness = sharpness

    def build(self, input_shape):
        self.sharpness = self.add_weight(
            name="sharpness",
            shape=(),
            initializer=keras.initializers.Constant(self.initial_sharpness),
            trainable=False,
        )
        super().build(input_shape)

    def call(self, inputs, training=None):
        self.add_loss(self.penalty(inputs) if training else tf.zeros([]))
        return self.soft(inputs) if training else self.hard(inputs)

    def hard(self, x):
        return lq.math.sign(x)

    def soft(self, x):
        return tf.tanh(tf.cast(self.sharpness, x.dtype) * x)

    def penalty(self, x):
        return 1e-3 * tf.reduce_mean(tf.square(tf.cast(x, "float32")))

    def frozen_quantizer(self):
        return lq.quantizers.SteSign()

    def get_config(self):
        return {**super().get_config(), "sharpness": self.initial_sharpness}


keras.utils.get_custom_objects()["healthy"] = Healthy


@register
class WrongAtZero(Healthy):
    def hard(self, x):
        return tf.sign(x)


@register
class WrongGradient(Healthy):
    def soft(self, x):
        return super().soft(x) + (x - tf.stop_gradient(x))


@register
class LosesArgument(Healthy):
    def get_config(self):
        return lq.quantizers.Quantizer.get_config(self)


@register
class HidesState(Healthy):
    """Larq's own quantizers do this."""

    @property
    def non_trainable_weights(self):
        return []


class Unregistered(Healthy):
    pass


@keras.utils.register_keras_serializable("faulty")
class RegisteredInPackageOnly(Healthy):
    pass


@register
class Float32Constant(Healthy):
    def hard(self, x):
        return super().hard(x * tf.constant(2.0))


@register
class NotForXla(Healthy):
    """It converts numbers to strings and back, which XLA cannot compile."""

    def hard(self, x):
        strings = tf.strings.as_string(tf.cast(super().hard(x), "float32"))
        return tf.cast(tf.strings.to_number(strings), x.dtype)


@register
class Nondeterministic(Healthy):
    def penalty(self, x):
        random_scale = 1e-5 * random.SystemRandom().random()
        return super().penalty(x) + random_scale * tf.reduce_mean(tf.cast(x, "float32"))


@register
class LossUnlessInference(Healthy):
    """It adds a loss when Keras builds the model, and none in evaluation."""

    def call(self, inputs, training=None):
        if training is not False:
            self.add_loss(self.penalty(inputs))
        return self.soft(inputs) if training else self.hard(inputs)


@register
class DoesNotFreeze(Healthy):
    def frozen_quantizer(self):
        return type(self).from_config(self.get_config())


@register
class AnotherSign(lq.quantizers.Quantizer):
    """It gives signs, which lint accepts, but of other values."""

    precision = 1

    def call(self, inputs):
        return tf.where(inputs >= 0.5, 1.0, -1.0)


@register
class FreezesToAnother(Healthy):
    def frozen_quantizer(self):
        return AnotherSign()


@register
class ReplicasApart(Healthy):
    """The replicas give one variable different values, and nothing combines them."""

    def build(self, input_shape):
        super().build(input_shape)
        self.mean = self.add_weight(name="mean", shape=(), trainable=False, initializer="zeros")

    def soft(self, x):
        self.mean.assign(tf.reduce_mean(tf.cast(x, "float32")))
        return super().soft(x)


@register
class TwoBits(Healthy):
    """It claims a precision of two bits and has two values."""

    precision = 2


@register
class WrongForKernels(Healthy):
    """It gives other outputs for tensors whose first two sizes are equal, such as kernels."""

    def hard(self, x):
        return -super().hard(x) if x.shape[0] == x.shape[1] else super().hard(x)


@register
class DeafShift(kbnn.layers.LearnedShift):
    """Its weight gets no gradient."""

    def call(self, inputs):
        return inputs + tf.stop_gradient(self.shift)


@register
class ShiftThatStays(kbnn.layers.LearnedShift):
    """Its frozen form is itself, a class of the tests, and not a layer of Keras or Larq."""

    def frozen_layer(self):
        return type(self).from_config(self.get_config()), self.get_weights()


class CountsFromItsBirth(keras.callbacks.Callback):
    """It divides the learning rate by the epochs seen, which a resumed `fit` counts from zero."""

    epochs = 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs += 1
        self.model.optimizer.learning_rate = 0.01 / self.epochs


class CrashesInValidation(keras.callbacks.Callback):
    def on_test_begin(self, logs=None):
        raise RuntimeError("no validation")


def hard(x, sharpness, mean=None):
    return sign(x)


def soft(x, sharpness, mean=None):
    return np.tanh(sharpness * x)


def soft_gradient(x, sharpness, mean=None):
    return sharpness * (1 - np.tanh(sharpness * x) ** 2)


def quantizer_row(name: str, cls: type) -> QuantizerRow:
    return QuantizerRow(
        name,
        make=lambda: cls(sharpness=1.5),
        forward=hard,
        training_forward=soft,
        gradient=soft_gradient,
        alias="healthy",
        lacks={} if cls is Healthy else {"alias": "the fault is elsewhere"},
        module=__name__,
    )


def shift_row(name: str, cls: type) -> LayerRow:
    return LayerRow(name, make=cls, forward=lambda x, shift: x + shift, module=__name__)


def callback_row(name: str, cls: type) -> CallbackRow:
    return CallbackRow(
        name,
        make=lambda train: [kbnn.callbacks.ShuffleEpoch(train), cls()],
        model=binary_model,
        module=__name__,
    )


QUANTIZERS = {
    "healthy": Healthy,
    "wrong_at_zero": WrongAtZero,
    "wrong_gradient": WrongGradient,
    "wrong_for_kernels": WrongForKernels,
    "loses_argument": LosesArgument,
    "hides_state": HidesState,
    "unregistered": Unregistered,
    "registered_in_package_only": RegisteredInPackageOnly,
    "float32_constant": Float32Constant,
    "not_for_xla": NotForXla,
    "nondeterministic": Nondeterministic,
    "loss_unless_inference": LossUnlessInference,
    "does_not_freeze": DoesNotFreeze,
    "freezes_to_another": FreezesToAnother,
    "replicas_apart": ReplicasApart,
    "two_bits": TwoBits,
}
LAYERS = {"deaf_shift": DeafShift, "shift_that_stays": ShiftThatStays}
CALLBACKS = {
    "counts_from_its_birth": CountsFromItsBirth,
    "crashes_in_validation": CrashesInValidation,
}

ROWS = by_name(
    [
        *[quantizer_row(name, cls) for name, cls in QUANTIZERS.items()],
        # The alias of the healthy one.
        dataclasses.replace(quantizer_row("another_alias", WrongGradient), lacks={}),
        *[shift_row(name, cls) for name, cls in LAYERS.items()],
        *[callback_row(name, cls) for name, cls in CALLBACKS.items()],
    ]
)
