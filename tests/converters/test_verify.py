"""What `verify` accepts, what it refuses, and how a tie is proven."""

import dataclasses

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn
from kbnn.converters import comparison, convert, freeze, inspect, verify
from kbnn.converters.ties import TieProbe
from tests.converters.networks import chain, images, one_layer, residual


@pytest.fixture
def converted(plain_chain):
    return plain_chain.model, plain_chain.path


def test_data_as_arrays_and_datasets_give_the_same(converted):
    model, path = converted
    x = images(model, 20)
    y = model.predict(x).argmax(axis=1)
    y[:5] = (y[:5] + 1) % 10
    seen = []
    by_array = verify(model, path, (x, y), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(20, 20)]
    assert by_array.keras_accuracy == by_array.device_accuracy == 0.75
    dataset = tf.data.Dataset.from_tensor_slices((x, y, np.arange(20))).batch(8)
    in_batches = verify(model, path, dataset)
    # The size of a batch changes Keras's rounding.
    assert in_batches.mean_relative_error == pytest.approx(by_array.mean_relative_error, abs=1e-6)
    in_batches = dataclasses.replace(in_batches, mean_relative_error=by_array.mean_relative_error)
    assert in_batches == by_array
    one_hot = verify(model, path, (x, np.eye(10)[y]))
    assert one_hot == by_array
    assert verify(model, path, x).keras_accuracy is None
    assert verify(freeze(model), path, (x, y)) == by_array


def test_another_models_file_is_refused(converted, tmp_path):
    model, path = converted
    with pytest.raises(ValueError, match=r"Expected the outputs of the file to be the model's"):
        verify(chain(classes=7, classifier_activation=None), path, images(model))
    with pytest.raises(ValueError, match=r"Expected the inputs of the file to be the model's"):
        verify(residual(), path, images(model))
    other = chain(classifier_activation=None)
    other.get_layer("conv_2").kernel.latent_variable.assign_sub(
        2.0 * tf.convert_to_tensor(other.get_layer("conv_2").kernel.latent_variable)
    )
    parity = verify(other, path, images(model))
    assert not parity.passed
    assert "without a tie that explains it" in parity.failures[0]
    assert parity.max_difference == parity.max_difference_off_ties > 1e-3


@pytest.mark.parametrize("kind", ["truncated", "random", "empty", "no flatbuffer"])
def test_broken_files_never_reach_the_native_interpreter(converted, tmp_path, kind):
    model, path = converted
    content = {
        "truncated": path.read_bytes()[: path.stat().st_size // 2],
        "random": np.random.default_rng(0).bytes(8),
        "empty": b"",
        "no flatbuffer": b"\x1c\x00\x00\x00TFL3" + bytes(100),
    }[kind]
    broken = tmp_path / "broken.tflite"
    broken.write_bytes(content)
    for call in (lambda: verify(model, broken, images(model)), lambda: inspect(broken)):
        with pytest.raises(ValueError, match=r"Expected `.*broken.tflite` to be a valid .tflite"):
            call()


def test_missing_file_no_data_and_wrong_types(converted, tmp_path):
    model, path = converted
    with pytest.raises(FileNotFoundError):
        verify(model, tmp_path / "absent.tflite", images(model))
    with pytest.raises(ValueError, match="Expected `data` to hold images"):
        verify(model, path, images(model, 0))
    with pytest.raises(TypeError, match=r"Expected `data` to be a tf\.data\.Dataset"):
        verify(model, path, [1, 2, 3])


def test_repeated_calls_give_no_warning(converted, caplog):
    model, path = converted
    x = images(model, 12)
    tf.get_logger().addHandler(caplog.handler)
    try:
        for _ in range(6):
            verify(model, path, tf.data.Dataset.from_tensor_slices(x).batch(8))
    finally:
        tf.get_logger().removeHandler(caplog.handler)
    assert not [record for record in caplog.records if "retracing" in record.getMessage()]


def test_the_frozen_model_runs_once_for_an_image_without_a_tie(tmp_path, monkeypatch):
    model = one_layer(keras.layers.Dense(3), shape=(4,))
    path = tmp_path / "model.tflite"
    convert(model, path)
    model.layers[-1].bias.assign_add([1.0, 0.0, 0.0])
    runs = []
    run = TieProbe._run
    monkeypatch.setattr(TieProbe, "_run", lambda *given: runs.append(given) or run(*given))
    assert verify(model, path, images(model, 5)).above_tolerance == 5
    assert len(runs) == 5


def with_a_tie() -> tuple[keras.Model, np.ndarray]:
    """A chain and an image of which one activation at the first sign is all but zero.

    It is far enough from zero that no two right roundings see another sign.
    """
    model = chain(classifier_activation=None)
    x = images(model, 1)
    watch = keras.Model(model.input, model.get_layer("stem_bn").output)
    beta = model.get_layer("stem_bn").beta
    value = beta.numpy()
    value[3] += 5e-6 - watch(x).numpy()[0, 5, 6, 3]
    beta.assign(value)
    return model, x


def test_a_flipped_tie_is_found_and_proven():
    model, x = with_a_tie()
    probe = TieProbe(freeze(model))
    watched = probe.watch([x])
    assert watched.nearest < 1e-5
    # The "device": the same network with the tied activation on the other side of zero.
    device, _ = with_a_tie()
    features = keras.Model(device.input, device.get_layer("stem_bn").output)(x).numpy()
    features[0, 5, 6, 3] = -1e-3 if features[0, 5, 6, 3] >= 0 else 1e-3
    rest = keras.Model(device.get_layer("stem_bn").output, device.output)
    flipped = rest(features).numpy()
    assert np.abs(flipped - model(x)).max() > 1e-3
    tie = probe.explain([x], watched, [flipped], 1e-3)
    assert tie.flips == 1
    assert tie.difference < 1e-4


class _Rounding(keras.layers.Layer):
    """What TensorFlow's rounding may do: different last bits in a batch than for a single image."""

    def call(self, inputs):
        return inputs - tf.where(tf.shape(inputs)[0] > 1, 2e-7, 0.0)


def test_a_tie_is_proven_where_a_batch_rounds_it_otherwise():
    layer = lq.layers.QuantDense(
        3, input_quantizer="ste_sign", kernel_quantizer="ste_sign", use_bias=False
    )
    model = keras.Sequential([keras.Input((4,)), _Rounding(), layer])
    x = np.float32([[1e-7, 3e-5, 1.0, -1.0]])
    device = [model(np.float32([[-1.0, 1.0, 1.0, -1.0]])).numpy()]
    probe = TieProbe(model)
    tie = probe.explain([x], probe.watch([x]), device, tolerance=1e-3)
    assert (tie.flips, tie.difference) == (1, 0.0)


def signs_of(z: list[float], kernel: list[float]) -> tuple[keras.Model, np.ndarray]:
    """A layer of one output on signs of z, and z as a batch of one."""
    layer = lq.layers.QuantDense(1, input_quantizer="ste_sign", use_bias=False)
    model = keras.Sequential([keras.Input((1, len(z))), keras.layers.Flatten(), layer])
    layer.set_weights([np.float32(kernel)[:, None]])
    return model, np.float32([[z]])


def test_ties_that_lead_away_one_by_one_are_proven_together():
    # Flipped, the two nearest change the output by +4 and -3, the third by +1.1.
    model, x = signs_of([-1e-7, 2e-7, -5e-6, 1.0], [2.0, 1.5, 0.55, 1.0])
    probe = TieProbe(model)
    device = [probe.watch([x]).outputs[0] + np.float32(1.0)]
    tie = probe.explain([x], probe.watch([x]), device, tolerance=1e-3)
    assert tie.flips == 2
    assert tie.difference < 1e-6


def test_a_channel_that_ties_at_many_positions_is_one_flip():
    # Six positions of a channel have the same z, and a seventh, of the other, another one.
    convolution = lq.layers.QuantConv2D(1, 1, input_quantizer="ste_sign", use_bias=False)
    pooled = [keras.layers.Flatten(), keras.layers.Dense(1, use_bias=False)]
    model = keras.Sequential([keras.Input((3, 3, 2)), convolution, *pooled])
    convolution.set_weights([np.float32([[[[1.0], [0.3]]]])])
    model.layers[-1].set_weights([np.float32(range(-4, 5))[:, None]])
    x = np.ones((1, 3, 3, 2), np.float32)
    x[0, :2, :, 0] = 5e-8
    x[0, 2, 2, 1] = -6e-8
    theirs = x.copy()
    theirs[0, :2, :, 0] = -5e-8
    probe = TieProbe(model)
    tie = probe.explain([x], probe.watch([x]), [model(theirs).numpy()], tolerance=1e-3)
    assert (tie.flips, tie.difference) == (1, 0.0)


def test_a_wrong_output_is_not_explained_by_a_tie():
    model, x = with_a_tie()
    probe = TieProbe(freeze(model))
    tie = probe.explain([x], probe.watch([x]), [model(x).numpy() + 0.5], 1e-3)
    assert tie.nearest < 1e-5
    assert tie.difference > 1e-3


def test_a_tie_explains_every_output_or_none():
    model, x = with_a_tie()
    features = model.get_layer("stem_bn").output
    both = keras.Model(model.input, [model.output, keras.layers.Flatten()(features)])
    probe = TieProbe(freeze(both))
    watched = probe.watch([x])
    (flip,) = [[(0, (int(i),))] for i in np.flatnonzero(np.abs(watched.signs[0]) < 1e-5)]
    flipped = probe._run([x], flip).outputs
    assert probe.explain([x], watched, flipped, 1e-3).flips == 1
    wrong = [flipped[0], flipped[1] + 0.5]
    assert probe.explain([x], watched, wrong, 1e-3).difference > 0.1


def test_a_tie_that_keras_rounds_otherwise_in_a_batch_is_one(tmp_path, monkeypatch):
    model, tied = with_a_tie()
    path = tmp_path / "model.tflite"
    convert(model, path)
    probe = TieProbe(freeze(model))
    watched = probe.watch([tied])
    (flip,) = [[(0, (int(i),))] for i in np.flatnonzero(np.abs(watched.signs[0]) < 1e-5)]
    flipped = probe._run([tied], flip).outputs[0]
    trace = comparison._trace

    def in_a_batch(model):
        """In a batch of several images, the tied bit is flipped."""
        predict = trace(model)

        def run(x):
            outputs = predict(x)[0].numpy()
            if len(x) > 1:
                outputs[2] = flipped[0]
            return [tf.constant(outputs)]

        return run

    monkeypatch.setattr(comparison, "_trace", in_a_batch)
    x = np.concatenate([images(model, 2), tied, images(model, 1)])
    parity = verify(model, path, x)
    assert parity.passed, parity.failures
    assert {i: tie.flips for i, tie in parity.ties.items()} == {2: 0}
    assert parity.max_difference > 1e-3 >= parity.max_difference_off_ties


@pytest.mark.parametrize("kind", ["regression", "feature map"])
def test_a_wrong_file_of_a_residual_network_without_classes_is_refused(tmp_path, kind):
    """Each image has some activation near zero, which must not excuse a difference by itself."""
    network = residual()
    features = network.layers[-2]
    output = (
        keras.layers.Dense(1)(features.output)
        if kind == "regression"
        else keras.layers.Conv2D(4, 1)(features.input)
    )
    model = keras.Model(network.input, output)
    path = tmp_path / "model.tflite"
    convert(model, path, verify_data=images(model))
    stem = model.layers[1].kernel
    stem.assign(stem + 0.3 * tf.random.normal(stem.shape))
    parity = verify(model, path, images(model, 24))
    assert not parity.passed
    assert parity.class_agreement is None
    assert len(parity.ties) < 3


def test_outputs_that_are_not_finite_never_pass(tmp_path):
    model = one_layer(keras.layers.Dense(3), shape=(4,))
    model.layers[-1].kernel.assign(10.0 * model.layers[-1].kernel)
    path = tmp_path / "model.tflite"
    convert(model, path)
    x = images(model, 4)
    x[2] = np.copysign(3e38, model.layers[-1].kernel.numpy()[:, 0])
    parity = verify(model, path, x)
    assert not parity.passed
    assert parity.above_tolerance == 1
    assert parity.max_difference == np.inf


def two_outputs(first: float, second: float) -> keras.Model:
    """Gives the same two numbers for every image."""
    x = keras.Input((2,), name="image")
    model = keras.Model(x, keras.layers.Dense(2, name="logits")(x))
    model.set_weights([np.zeros((2, 2), "f"), np.float32([first, second])])
    return model


def test_a_class_that_hangs_on_the_last_bits_is_a_tie(tmp_path):
    path = tmp_path / "model.tflite"
    convert(two_outputs(0.5, 0.5 + 2e-6), path)
    parity = verify(two_outputs(0.5 + 2e-6, 0.5), path, np.zeros((3, 2), "f"))
    assert (parity.class_ties, parity.class_agreement) == ([0, 1, 2], 0.0)
    assert parity.passed


def test_a_class_that_differs_within_the_tolerance_is_no_tie(tmp_path):
    path = tmp_path / "model.tflite"
    convert(two_outputs(0.5, 0.5 + 5e-4), path)
    parity = verify(two_outputs(0.5 + 4e-4, 0.5), path, np.zeros((3, 2), "f"))
    assert parity.above_tolerance == 0
    assert parity.class_ties == []
    assert parity.failures == ["3 images have another class without a tie"]


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("normalization", ["batch", "binary"])
def test_a_model_of_mixed_precision_is_compared_as_it_ships(policy, normalization, rng, tmp_path):
    images = rng.normal(size=(32, 8, 8, 3)).astype("f")
    keras.mixed_precision.set_global_policy(policy)
    try:
        model = kbnn.models.vgg_tiny((8, 8, 3), width=32, normalization=normalization)
        kbnn.recalibrate_batch_norm(model, images)
        report = kbnn.converters.convert(model, tmp_path / "m.tflite", verify_data=images).report
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert report.parity.class_agreement == 1.0
    assert report.operators["LceBconv2d"] == 3
