"""The sharpness follows the schedule, also if training is interrupted and resumed."""

import contextlib
import csv
import functools

import larq as lq
import numpy as np
import pytest
import tf_keras as keras

import kbnn
from kbnn.callbacks import SharpnessSchedule
from kbnn.graph.larq_quantizers import quantizers_of
from kbnn.quantizers import SmoothSign


class Record(keras.callbacks.Callback):
    """Records the variables of a quantizer at each step, and can stop the training at an epoch."""

    def __init__(self, quantizer, until=None):
        super().__init__()
        self.quantizer, self.until = quantizer, until
        self.sharpness, self.hard = [], []

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.until:
            raise KeyboardInterrupt

    def on_train_batch_end(self, batch, logs=None):
        self.sharpness.append(float(self.quantizer.sharpness))
        self.hard.append(float(self.quantizer.hard_forward))


def dense_layer(**quantizers):
    return lq.layers.QuantDense(3, **quantizers, name="dense")


def compiled(*layers, **options):
    model = keras.Sequential([keras.Input((4,)), *layers])
    model.compile("sgd", "sparse_categorical_crossentropy", **options)
    return model


def network():
    """A layer with a smooth sign for its inputs and another for its kernel."""
    return compiled(dense_layer(input_quantizer=SmoothSign(), kernel_quantizer=SmoothSign()))


def kernel_network(**options):
    return compiled(dense_layer(kernel_quantizer="smooth_sign"), **options)


def deep_network():
    """Three layers with smooth signs for inputs and kernels, and a real layer at the end."""
    layers = [
        lq.layers.QuantDense(
            4, input_quantizer=SmoothSign(), kernel_quantizer=SmoothSign(), name=f"layer_{i}"
        )
        for i in range(3)
    ]
    return compiled(*layers, keras.layers.Dense(3))


@pytest.fixture(scope="module")
def shared():
    """A network that several tests train, so that its step is traced once."""
    return network()


@pytest.fixture
def model(shared):
    for module in shared.submodules:
        if isinstance(module, SmoothSign):
            module.sharpness.assign(1.0)
            module.hard_forward.assign(0.0)
    return shared


def data(steps=4):
    rng = np.random.default_rng(0)
    return rng.normal(size=(2 * steps, 4)).astype("f"), np.arange(2 * steps) % 3


def fit(model, *callbacks, epochs=3, **options):
    return model.fit(
        *data(), batch_size=2, epochs=epochs, callbacks=callbacks, verbose=0, **options
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"start": 1, "stop": 100, "hold": 0}, 100.0 ** (np.arange(12) / 11)),
        ({"law": lambda step, steps: 1 + step / steps}, 1 + np.arange(12) / 12),
        ({"law": lambda step, steps: 1 + step / steps, "steps": 2}, [1] + [1.5] * 11),
        ({"start": 1, "stop": 64, "hold": 0.5}, [1, 2, 4, 8, 16, 32] + [64] * 6),
        ({"start": 1, "stop": 4, "hold": 0, "steps": 3}, [1, 2] + [4] * 10),
        ({"start": 1, "stop": 8, "hold": 0, "epochs": 1}, [1, 2, 4] + [8] * 9),
    ],
)
def test_each_step_has_the_sharpness_of_its_law(model, arguments, expected):
    record = Record(model.get_layer("dense").kernel_quantizer)
    fit(model, SharpnessSchedule(**arguments), record)
    np.testing.assert_allclose(record.sharpness, expected, rtol=1e-6)
    assert set(record.hard) == {0.0}


def expected_together(steps, start, stop, share):
    """The sharpness of each step, and whether the signs are hard."""
    land = np.ceil(share * steps)
    at = np.arange(steps)
    logarithms = np.interp(at, [0, land], [np.log(start), np.log(stop)])
    return np.exp(logarithms), at >= land


@pytest.mark.parametrize("share", [0.5, 0.7, 0.75])
def test_the_sharpness_reaches_its_end_when_the_signs_become_hard(model, share):
    record = Record(model.get_layer("dense").kernel_quantizer)
    fit(model, SharpnessSchedule(2, 100, hard_forward_from=share), record)
    sharpness, hard = expected_together(12, 2, 100, share)
    np.testing.assert_allclose(record.sharpness, sharpness, rtol=1e-6)
    assert record.hard == list(hard)
    landed = record.hard.index(1.0)
    assert record.sharpness[landed] == 100.0
    assert record.sharpness[landed - 1] < 100.0


@pytest.mark.parametrize(
    ("share", "expected"),
    [(None, [1.0] * 12), (0.0, [1.0] * 12), (0.5, [0.0] * 2 + [1.0] * 10), (1.0, [0.0] * 12)],
)
def test_the_forward_pass_is_hard_after_a_share_of_the_schedule(model, share, expected):
    """The schedule has four steps, the training twelve, and the signs are hard at first."""
    quantizer = model.get_layer("dense").kernel_quantizer
    quantizer.hard_forward.assign(1.0)
    record = Record(quantizer)
    fit(model, SharpnessSchedule(steps=4, hard_forward_from=share), record)
    assert record.hard == expected


def test_kernels_and_inputs_can_have_separate_schedules_and_the_logs_contain_both(model, tmp_path):
    layer = model.get_layer("dense")
    kernel, inputs = Record(layer.kernel_quantizer), Record(layer.input_quantizer)
    file = tmp_path / "log.csv"
    fit(
        model,
        SharpnessSchedule(stop=64, hold=0, quantizers="kernel"),
        SharpnessSchedule(stop=8, hold=0, quantizers="input", hard_forward_from=0.75),
        keras.callbacks.CSVLogger(file),
        kernel,
        inputs,
    )
    np.testing.assert_allclose(
        np.log2(kernel.sharpness), 6 * np.arange(12) / 11, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(
        np.log2(inputs.sharpness), 3 * np.arange(12) / 11, rtol=1e-5, atol=1e-6
    )
    assert kernel.hard == [0.0] * 12
    assert inputs.hard == [0.0] * 9 + [1.0] * 3
    with file.open() as lines:
        rows = list(csv.DictReader(lines))
    assert [float(row["kernel_sharpness"]) for row in rows] == pytest.approx(kernel.sharpness[3::4])
    assert [float(row["input_sharpness"]) for row in rows] == pytest.approx(inputs.sharpness[3::4])


def test_smooth_signs_of_nested_models_are_found():
    inner, own = network(), dense_layer(input_quantizer=SmoothSign())
    fit(compiled(inner, own), SharpnessSchedule(stop=5), epochs=1)
    layer = inner.get_layer("dense")
    found = [layer.input_quantizer, layer.kernel_quantizer, own.input_quantizer]
    assert [float(quantizer.sharpness) for quantizer in found] == [5.0] * 3


class Tracings(keras.callbacks.Callback):
    """Records after each batch how often the step has been traced."""

    def __init__(self):
        super().__init__()
        self.counts = []

    def on_train_batch_end(self, batch, logs=None):
        step = self.model.train_tf_function
        self.counts.append(step.experimental_get_tracing_count())


def test_the_step_is_traced_once():
    tracings = Tracings()
    fit(network(), SharpnessSchedule(hard_forward_from=0.5), tracings)
    assert len(tracings.counts) == 12
    assert len(set(tracings.counts)) == 1


@pytest.mark.parametrize("order", ["together", "layer_by_layer"])
def test_a_training_that_is_interrupted_and_resumed_follows_the_same_schedule(tmp_path, order):
    schedule = functools.partial(SharpnessSchedule, 1, 50, hard_forward_from=0.8, order=order)

    def training(folder, until=None):
        keras.utils.set_random_seed(0)
        model = deep_network()
        signs = [sign for layer in model.layers for sign in quantizers_of(layer).values()]
        records = [Record(sign) for sign in signs]
        backup = keras.callbacks.BackupAndRestore(folder, delete_checkpoint=False)
        with contextlib.suppress(KeyboardInterrupt):
            fit(model, schedule(), backup, *records, Record(signs[0], until), shuffle=False)
        return model, [[*zip(one.sharpness, one.hard, strict=True)] for one in records]

    whole, expected = training(tmp_path / "whole")
    _, first = training(tmp_path / "backup", until=1)
    resumed, second = training(tmp_path / "backup")
    assert {(len(a), len(b)) for a, b in zip(first, second, strict=True)} == {(4, 8)}
    assert [a + b for a, b in zip(first, second, strict=True)] == expected
    assert {steps[-1] for steps in expected} == {(50.0, 1.0)}
    for one, other in zip(resumed.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_model_without_smooth_signs_raises():
    model = kernel_network()
    with pytest.raises(
        ValueError, match=r"SmoothSign as input quantizer\. Received: model='sequential'"
    ):
        fit(model, SharpnessSchedule(quantizers="input"))
    fit(model, SharpnessSchedule(quantizers="kernel"), epochs=1)


def test_data_without_a_length_raises():
    def generate():
        yield data(1)

    with pytest.raises(ValueError, match="number of batches is known"):
        network().fit(generate(), epochs=2, verbose=0, callbacks=[SharpnessSchedule()])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"start": 0}, "Expected `start` to be a number above 0 .* Received: start=0"),
        ({"stop": float("inf")}, "Expected `stop`"),
        ({"hold": 1.5}, "Expected `hold` to be a number from 0 to 1"),
        ({"hard_forward_from": -1}, "Expected `hard_forward_from`"),
        ({"steps": 0}, "Expected `steps` to be a positive integer"),
        ({"steps": 3, "epochs": 3}, "Received both: steps=3, epochs=3"),
        ({"law": "linear"}, "Expected `law` to be a function .* Received: law='linear'"),
        ({"quantizers": "weights"}, "Expected `quantizers`"),
        ({"order": "backwards"}, "Expected `order` to be one of 'together', 'layer_by_layer'"),
        (
            {"order": "layer_by_layer", "law": lambda step, steps: 1.0},
            "Expected order=\"together\" with a `law`.* Received: order='layer_by_layer'",
        ),
    ],
)
def test_invalid_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        SharpnessSchedule(**arguments)


def test_several_steps_at_once_raise():
    model = kernel_network(steps_per_execution=2)
    record = Record(model.get_layer("dense").kernel_quantizer)
    with pytest.raises(ValueError, match="2 steps at once"):
        fit(model, record, SharpnessSchedule())
    assert record.sharpness == []


def test_a_schedule_for_kernels_raises_if_a_smooth_sign_also_quantizes_inputs():
    sign = SmoothSign()
    model = compiled(dense_layer(input_quantizer=sign, kernel_quantizer=sign))
    with pytest.raises(
        ValueError, match="Expected different SmoothSign objects for kernels and inputs"
    ):
        fit(model, SharpnessSchedule(quantizers="kernel"))
    fit(model, SharpnessSchedule(stop=7), epochs=1)
    assert float(sign.sharpness) == 7.0


def test_a_schedule_of_one_step_begins_at_its_end():
    assert SharpnessSchedule(1, 100).sharpness(0, steps=1) == 100


@pytest.mark.parametrize("value", [0.0, -3.0, float("nan"), float("inf"), 1e39, None, "1"])
def test_a_law_that_does_not_return_a_positive_number_raises(value):
    schedule = SharpnessSchedule(law=lambda step, steps: value)
    with pytest.raises(ValueError, match=r"Expected `law\(3, 7\)` to be a number above 0"):
        schedule.sharpness(3, 7)


def test_a_later_schedule_switches_the_hard_forward_pass_off_only_if_told_so(model):
    quantizer = model.get_layer("dense").kernel_quantizer
    for share, expected in [(0.0, 1.0), (None, 1.0), (1.0, 0.0)]:
        fit(model, SharpnessSchedule(hard_forward_from=share), epochs=1)
        assert float(quantizer.hard_forward) == expected


def test_a_model_that_is_not_built_raises():
    model = keras.Sequential(
        [lq.layers.QuantDense(4, kernel_quantizer="smooth_sign"), keras.layers.Dense(2)]
    )
    model.compile("sgd", "mse")
    for callback in (
        SharpnessSchedule(),
        kbnn.callbacks.BinarizationMonitor(),
        kbnn.callbacks.WeightHistograms("weights.npz"),
    ):
        with pytest.raises(ValueError, match="Expected a model that has its weights"):
            model.fit(np.zeros((4, 3)), np.zeros((4, 2)), callbacks=[callback], verbose=0)
