"""The technique: the sign in the forward pass from the first step on, the gradient of a tanh."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn
from kbnn.callbacks import BinarizationMonitor, SharpnessSchedule, WeightHistograms
from kbnn.techniques import TanhSurrogate
from tests.techniques.small_network import compiled, images, labels, small_network


def splits():
    data = tf.data.Dataset.from_tensor_slices((images(20), labels(20))).batch(4)
    return kbnn.data.Splits(data, data, data)


class Watch(keras.callbacks.Callback):
    """Records what quantizers give in training, and their sharpness, at each step."""

    def __init__(self, quantizers):
        super().__init__()
        self.quantizers, self.given, self.sharpness = quantizers, [], []

    def on_train_batch_begin(self, batch, logs=None):
        x = tf.constant([-2.0, -1e-6, 0.0, 1e-6, 0.3])
        self.given += [one(x, training=True).numpy().tolist() for one in self.quantizers]
        self.sharpness.append([float(one.sharpness) for one in self.quantizers])


def test_the_forward_pass_is_the_sign_at_each_step(tmp_path):
    technique = TanhSurrogate()
    model = compiled(small_network(**technique.builder_arguments()), metrics=["accuracy"])
    conv = model.get_layer("conv")
    watch = Watch([conv.kernel_quantizer, conv.input_quantizer])
    x = images(20)
    np.testing.assert_allclose(model(x, training=False), model(x), rtol=1e-6)
    assert [float(one.hard_forward) for one in watch.quantizers] == [1.0, 1.0]
    parts = splits()
    callbacks = [*technique.callbacks(parts, tmp_path), watch]
    model.fit(parts.train, epochs=4, callbacks=callbacks, verbose=0)
    assert len(watch.given) == 2 * 20
    assert all(given == [-1.0, -1.0, 1.0, 1.0, 1.0] for given in watch.given)
    # 0.95 of 20 steps rise.
    progress = np.minimum(np.arange(20) / 19, 1)
    np.testing.assert_allclose(watch.sharpness, np.power([[10, 3]], progress[:, None]), rtol=1e-6)


def test_the_network_keeps_its_normalization():
    assert TanhSurrogate().builder_arguments().keys() == {"kernel_quantizer", "input_quantizer"}
    assert TanhSurrogate(kernels=None).builder_arguments().keys() == {"input_quantizer"}


def test_its_callbacks_are_its_settings(tmp_path):
    found = TanhSurrogate(kernels=None, inputs=(2, 5)).callbacks(splits(), tmp_path)
    assert [type(one) for one in found] == [SharpnessSchedule, BinarizationMonitor]
    assert (found[0].sharpness(0, 10), found[0].sharpness(9, 10)) == (2.0, 5.0)
    kinds = [type(one) for one in TanhSurrogate().callbacks(splits(), tmp_path)]
    assert kinds == [SharpnessSchedule, SharpnessSchedule, BinarizationMonitor, WeightHistograms]


def test_what_another_technique_replaces_is_left_out():
    assert TanhSurrogate().without("kernel_quantizer") == TanhSurrogate(None)
    assert TanhSurrogate(None).without("input_quantizer") is None


def test_neither_kernels_nor_inputs_raises():
    with pytest.raises(ValueError, match="Expected a sharpness for `kernels`, `inputs` or both"):
        TanhSurrogate(None, None)
