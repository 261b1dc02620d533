"""The technique: the forward pass is the tanh until the signs land, and the sign afterwards."""

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn
from kbnn.callbacks import BinarizationMonitor, SharpnessSchedule, SmoothValidation
from kbnn.techniques import SelfBinarizing
from tests.techniques.small_network import CLASSES, SHAPE, compiled, images, labels, small_network

EPOCHS, IN_EPOCH = 2, 5


class Watch(keras.callbacks.Callback):
    """Records, at each step, the weights and what two layers give in training."""

    def __init__(self, inputs):
        super().__init__()
        self.inputs, self.steps = inputs, []

    def on_train_batch_begin(self, batch, logs=None):
        norm, conv = map(self.model.get_layer, ("norm", "conv"))
        gamma, beta = norm.gamma.numpy(), norm.beta.numpy()
        normalized = norm(self.inputs, training=True)
        signs = np.sign(self.inputs)
        convolved = conv(signs, training=True)
        sums = (convolved - conv.bias).numpy()
        self.steps.append((gamma, beta, normalized.numpy(), conv.kernel.numpy(), sums))


def splits():
    data = tf.data.Dataset.from_tensor_slices((images(20), labels(20))).batch(4)
    return kbnn.data.Splits(data, data, data)


def fit(technique, folder, watch=()):
    model = compiled(small_network(**technique.builder_arguments()), metrics=["accuracy"])
    parts = splits()
    callbacks = [*technique.callbacks(parts, folder), *watch]
    fitted = model.fit(
        parts.train,
        validation_data=parts.validation,
        epochs=EPOCHS,
        callbacks=callbacks,
        verbose=0,
    )
    return model, fitted.history


@pytest.mark.parametrize("order", ["together", "layer_by_layer"])
def test_layers_give_the_tanh_before_they_land_and_the_sign_afterwards(tmp_path, order, rng):
    x = rng.normal(size=(3, 4, 4, 4)).astype("f")
    watch = Watch(x)
    technique = SelfBinarizing((2, 30), (1, 5), hard_from=0.8, order=order)
    model, _ = fit(technique, tmp_path, [watch])
    # One layer has kernel and inputs that are binary, so both orders are the same.
    steps = EPOCHS * IN_EPOCH
    assert len(watch.steps) == steps
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    for step, (gamma, beta, normalized, kernel, sums) in enumerate(watch.steps):
        is_hard = step >= 8
        progress = min(1.0, step / 8)
        z = gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta
        phi_z = np.sign(z) if is_hard else np.tanh(5**progress * z)
        np.testing.assert_allclose(normalized, phi_z, atol=2e-5)
        nu = 2 * 15**progress
        phi_kernel = np.where(kernel >= 0, 1, -1) if is_hard else np.tanh(nu * kernel)
        by_hand = tf.nn.conv2d(np.sign(x), phi_kernel.astype("f"), 1, "VALID")
        np.testing.assert_allclose(sums, by_hand, atol=2e-5)
    assert np.abs(np.abs(watch.steps[7][2]) - 1).max() > 0.01  # the last soft step
    signs = [one for one in model.submodules if isinstance(one, kbnn.quantizers.SmoothSign)]
    assert [float(one.hard_forward) for one in signs] == [1.0, 1.0]


def test_the_gradient_is_that_of_the_tanh_in_both_forms(rng):
    x = tf.constant(rng.normal(size=50).astype("f"))
    gradients = []
    for is_hard in (False, True):
        sign = kbnn.quantizers.SmoothSign(10.0, hard_forward=is_hard)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = sign(x, training=True)
        gradients.append(tape.gradient(y, x))
    np.testing.assert_array_equal(*gradients)
    np.testing.assert_allclose(gradients[0], 10 / np.cosh(10 * x.numpy()) ** 2, rtol=1e-4)


def test_the_logs_show_the_way_to_the_sign(tmp_path):
    _, logs = fit(SelfBinarizing(hard_from=0.5, order="layer_by_layer"), tmp_path)
    assert logs["kernel_hard_layers"] == logs["input_hard_layers"] == [0, 1]
    assert (logs["kernel_sharpness"][-1], logs["input_sharpness"][-1]) == (100.0, 10.0)
    assert logs["val_smooth_loss"][0] != logs["val_loss"][0]
    # Both networks have hard signs now; only the comparison is computed in another way.
    assert logs["val_smooth_loss"][1] == pytest.approx(logs["val_loss"][1], rel=1e-5)
    assert (tmp_path / "weights.npz").is_file()


def test_its_callbacks_are_its_settings(tmp_path):
    found = SelfBinarizing(inputs=None).callbacks(splits(), tmp_path)
    schedules = [one for one in found if isinstance(one, SharpnessSchedule)]
    (schedule,) = schedules
    assert [schedule.sharpness(step, 10) for step in (0, 4, 8, 9)] == [
        1.0,
        pytest.approx(10.0),
        100.0,
        100.0,
    ]
    assert any(isinstance(one, SmoothValidation) for one in found)
    parts = splits()._replace(validation=None)
    without = SelfBinarizing(kernels=None).callbacks(parts, tmp_path)
    assert [type(one) for one in without] == [SharpnessSchedule, BinarizationMonitor]


def test_what_another_technique_replaces_is_left_out():
    technique = SelfBinarizing((1, 9), (1, 4), order="layer_by_layer")
    assert technique.without("kernel_quantizer") == technique.replace(kernels=None)
    assert technique.without("input_quantizer") == technique.replace(inputs=None)
    assert technique.replace(kernels=None).without("input_quantizer") is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernels": None, "inputs": None}, "Expected a sharpness for `kernels`, `inputs` or both"),
        ({"kernels": (1, 0)}, "Expected `kernels` to be two numbers above 0"),
        ({"inputs": 3}, "Expected `inputs` to be two numbers above 0 and at most 1e.30 or None"),
        ({"hard_from": 0}, "Expected `hard_from` to be a number above 0 and at most 1"),
        ({"order": "reversed"}, "Expected `order` to be one of together, layer_by_layer"),
    ],
)
def test_invalid_settings_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        SelfBinarizing(**arguments)


def test_it_applies_to_a_model_that_there_is_already():
    plain = compiled(small_network(input_quantizer="ste_sign"))
    conv = SelfBinarizing(inputs=None).prepare(plain).get_layer("conv")
    assert isinstance(conv.kernel_quantizer, kbnn.quantizers.SmoothSign)
    assert isinstance(conv.input_quantizer, lq.quantizers.SteSign)
    assert plain.input_shape[1:] == SHAPE
    assert plain.output_shape == (None, CLASSES)
