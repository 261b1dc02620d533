"""How a run trains: learning rates, losses, averages, precision, and what its end measures."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn
from kbnn.runs import Data, Fit, Network, RunConfig, processor, train_run
from kbnn.runs.folder import RunFolder
from kbnn.runs.learning_rate import learning_rate
from kbnn.runs.losses import SmoothedCrossentropy
from kbnn.runs.run_model import load_data


def rates(*arguments):
    schedule = learning_rate(*arguments)
    return [float(schedule(step)) for step in range(arguments[2] + 1)]


def test_linear_and_cosine_rates_fall_to_zero():
    np.testing.assert_allclose(rates(0.5, "linear", 5), [0.5, 0.4, 0.3, 0.2, 0.1, 0], atol=1e-7)
    cosine = [0.25 * (1 + math.cos(math.pi * step / 5)) for step in range(6)]
    np.testing.assert_allclose(rates(0.5, "cosine", 5), cosine, atol=1e-7)
    assert learning_rate(0.5, "constant", 5) == 0.5


@pytest.mark.parametrize("schedule", ["linear", "constant"])
def test_a_warm_up_rises_to_the_rate_and_the_schedule_follows(schedule):
    rest = [0.8, 0.6, 0.4, 0.2, 0] if schedule == "linear" else [0.8] * 5
    np.testing.assert_allclose(rates(0.8, schedule, 8, 4), [0.2, 0.4, 0.6, 0.8, *rest], atol=1e-6)


def test_a_warm_up_as_long_as_the_training_is_refused():
    with pytest.raises(ValueError, match=r"Expected `warmup`.*warmup=3, epochs=3"):
        Fit(epochs=3, warmup=3)


@pytest.mark.parametrize("smoothing", [0.1, 1.0])
def test_label_smoothing_is_that_of_keras(smoothing, rng):
    logits, labels = rng.normal(size=(7, 5)).astype("f"), rng.integers(0, 5, 7)
    expected = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    found = SmoothedCrossentropy(smoothing)(labels, logits)
    np.testing.assert_allclose(found, expected(tf.one_hot(labels, 5), logits), rtol=1e-6)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_weight_decay_takes_its_share_of_kernels_only(optimizer):
    model = keras.Sequential([keras.layers.Dense(2, bias_initializer="ones", input_shape=(3,))])
    fit = Fit(optimizer=optimizer, learning_rate=0.5, schedule="constant", weight_decay=0.1)
    fit.compile(model, steps=1)
    kernel, bias = model.get_weights()
    zeros = [tf.zeros_like(weight) for weight in model.trainable_weights]
    model.optimizer.apply_gradients(zip(zeros, model.trainable_weights, strict=True))
    np.testing.assert_allclose(model.get_weights()[0], (1 - 0.5 * 0.1) * kernel, rtol=1e-6)
    np.testing.assert_array_equal(model.get_weights()[1], bias)


@pytest.fixture
def config(images):
    def config(**fit):
        network = Network(width=8)
        data = Data("folder", directory=str(images), batch_size=32)
        return RunConfig(data, network, Fit(**{"epochs": 2, **fit}))

    return config


def test_the_result_has_the_averages_of_the_weights(config, tmp_path):
    plain = config(schedule="constant", recalibration=0)
    averaged = config(schedule="constant", recalibration=0, average_weights=1.0)
    train_run(plain, tmp_path / "plain", test=False)
    train_run(averaged, tmp_path / "averaged", test=False)
    new, old = (
        keras.models.load_model(tmp_path / name / "model.keras", compile=False).trainable_weights
        for name in ("averaged", "plain")
    )
    keras.utils.set_random_seed(0)
    first = averaged.network.build(averaged.data.describe(), {}).trainable_weights
    # With a momentum of 1 the averages stay at the initial weights.
    for average, trained, initial in zip(new, old, first, strict=True):
        np.testing.assert_array_equal(average, initial)
        assert np.any(trained.numpy() != initial.numpy())


def test_a_run_ends_with_statistics_of_the_training_images(config, tmp_path):
    kept, anew = config(recalibration=0), config(recalibration=3)
    results = [
        train_run(each, tmp_path / name, test=False)
        for each, name in ((kept, "kept"), (anew, "anew"))
    ]
    models = [
        keras.models.load_model(tmp_path / name / "model.keras", compile=False)
        for name in ("kept", "anew")
    ]
    splits = load_data(anew)
    kbnn.data.set_epoch(splits.train, 2)
    kbnn.recalibrate_batch_norm(models[0], splits.train, steps=3)
    for own, expected in zip(models[1].weights, models[0].weights, strict=True):
        np.testing.assert_array_equal(own, expected, err_msg=own.name)
    before = results[1]["validation_accuracy_before_recalibration"]
    assert before == results[0]["validation_accuracy"] == results[0]["last_epoch"]["val_accuracy"]
    assert "validation_accuracy_before_recalibration" not in results[0]
    models[1].compile(loss=keras.losses.SparseCategoricalCrossentropy(True), metrics=["accuracy"])
    after = models[1].evaluate(splits.validation, verbose=0, return_dict=True)["accuracy"]
    assert results[1]["validation_accuracy"] == pytest.approx(after)


@pytest.mark.filterwarnings("ignore:.*bfloat16")
def test_bfloat16_trains_in_bfloat16_and_ships_float32(config, tmp_path):
    policies = []

    class Look(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            policies.append({layer.compute_dtype for layer in self.model.layers[2:-1]})

    train_run(config(precision="bfloat16"), tmp_path / "run", callbacks=[Look()])
    assert policies == [{"bfloat16"}]
    assert keras.mixed_precision.global_policy().name == "float32"
    folder = RunFolder(tmp_path / "run")
    for file in (folder.model_file, folder.best_file):
        model = keras.models.load_model(file, compile=False)
        assert {layer.compute_dtype for layer in model.layers[1:]} == {"float32"}
    kbnn.converters.convert(
        keras.models.load_model(folder.model_file, compile=False), tmp_path / "model.tflite"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 amx_tile", True),
        ("Features\t: fp asimd bf16", True),
        ("flags\t\t: fpu sse4_2 avx2", False),
        ("", True),
    ],
)
def test_whether_the_processor_has_bfloat16(text, expected, tmp_path, monkeypatch):
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\n{text}\n")
    monkeypatch.setattr(processor, "_CPUINFO", file)
    assert processor.has_fast_bfloat16() is expected
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "missing")
    assert processor.has_fast_bfloat16()
