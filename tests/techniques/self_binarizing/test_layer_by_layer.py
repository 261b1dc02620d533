"""Layers become sharp, and then hard, one after the other from input to output."""

import larq as lq
import numpy as np
import pytest
import tf_keras as keras

import kbnn
from kbnn.callbacks import SharpnessSchedule
from kbnn.graph.larq_quantizers import quantizers_of
from kbnn.quantizers import SmoothSign
from kbnn.techniques.self_binarizing.smooth_sign_layers import smooth_signs_by_layer

IN_EPOCH = 4


class Record(keras.callbacks.Callback):
    """Records the sharpness, and whether the forward pass is hard, of quantizers at each step."""

    def __init__(self, quantizers):
        super().__init__()
        self.quantizers = quantizers
        self.sharpness, self.hard = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.sharpness.append([float(one.sharpness) for one in self.quantizers])
        self.hard.append([float(one.hard_forward) for one in self.quantizers])


def network(layers=3):
    """Layers with smooth signs for inputs and kernels, and a real layer at the end."""
    signs = [
        {f"{kind}_quantizer": SmoothSign() for kind in ("input", "kernel")} for _ in range(layers)
    ]
    binary = [lq.layers.QuantDense(4, **own, name=f"layer_{i}") for i, own in enumerate(signs)]
    model = keras.Sequential([keras.Input((4,)), *binary, keras.layers.Dense(3)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def train(model, *schedules, epochs=5):
    """Train for 4 steps an epoch; returns the history, and sharpness and hardness by layer."""
    signs = [list(quantizers_of(layer).values()) for layer in model.layers[:-1]]
    record = Record([sign for own in signs for sign in own])
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2 * IN_EPOCH, 4)).astype("f"), np.arange(2 * IN_EPOCH) % 3
    callbacks = [*schedules, record]
    fitted = model.fit(x, y, batch_size=2, epochs=epochs, callbacks=callbacks, verbose=0)
    shape = (IN_EPOCH * epochs, len(signs), 2)
    return fitted.history, np.reshape(record.sharpness, shape), np.reshape(record.hard, shape)


def expected(steps, layers, start, stop, share):
    """Sharpness and hardness of each step and layer."""
    at = np.arange(steps)
    bounds = [np.ceil(share * steps * i / layers) for i in range(layers + 1)]
    ends = np.log([start, stop])
    rising = [np.interp(at, bounds[i : i + 2], ends) for i in range(layers)]
    return np.exp(rising).T, np.array([at >= bound for bound in bounds[1:]]).T


@pytest.mark.parametrize(
    ("layers", "share"),
    [(3, 0.6), (3, 0.8), (4, 0.8), (1, 0.55), (2, 0.55), (7, 0.3)],
)
def test_each_layer_rises_in_its_own_part_and_is_hard_after_it(layers, share):
    schedule = SharpnessSchedule(2, 50, hard_forward_from=share, order="layer_by_layer")
    _, sharpness, hard = train(network(layers), schedule)
    wanted_sharpness, wanted_hard = expected(20, layers, 2, 50, share)
    for kind in range(2):  # kernel and inputs of a layer go together
        np.testing.assert_allclose(sharpness[..., kind], wanted_sharpness, rtol=1e-6)
        np.testing.assert_array_equal(hard[..., kind], wanted_hard)
    assert hard[-1].all()
    assert (sharpness[-1] == 50).all()
    # No layer is hard while one before it is soft, and a hard layer has its last sharpness.
    assert (np.diff(hard, axis=1) <= 0).all()
    assert (sharpness[hard > 0] == 50).all()
    assert (sharpness[0] == 2).all()


def test_two_layers_in_twelve_steps():
    """The first eight steps are soft: four for each layer."""
    schedule = SharpnessSchedule(1, 16, hard_forward_from=2 / 3, order="layer_by_layer")
    history, sharpness, hard = train(network(2), schedule, epochs=3)
    np.testing.assert_allclose(
        sharpness[..., 0].T,
        [[1, 2, 4, 8, *[16] * 8], [1, 1, 1, 1, 1, 2, 4, 8, *[16] * 4]],
        rtol=1e-6,
    )
    np.testing.assert_array_equal(hard[..., 0].T, [[0] * 4 + [1] * 8, [0] * 8 + [1] * 4])
    assert history["sharpness"] == pytest.approx([4.5, 12.0, 16.0])
    assert history["hard_layers"] == [0, 1, 2]


def test_never_hard_and_always_hard():
    never = SharpnessSchedule(1, 8, hard_forward_from=1.0, hold=0, order="layer_by_layer")
    _, sharpness, hard = train(network(2), never, epochs=2)
    assert not hard.any()
    assert (sharpness[-1] == 8).all()
    np.testing.assert_allclose(sharpness[:5, 0, 0], 8 ** (np.arange(5) / 4), rtol=1e-6)
    np.testing.assert_allclose(sharpness[4:, 1, 0], 8 ** (np.arange(4) / 3), rtol=1e-6)
    always = SharpnessSchedule(1, 8, hard_forward_from=0.0, order="layer_by_layer")
    _, sharpness, hard = train(network(2), always, epochs=2)
    assert hard.all()
    assert (sharpness[0] == 1).all()
    assert (sharpness[-1] == 8).all()


def test_the_logs_have_the_mean_sharpness_and_the_number_of_hard_layers():
    options = {"hard_forward_from": 0.6, "order": "layer_by_layer"}
    history, sharpness, hard = train(
        network(),
        SharpnessSchedule(1, 100, quantizers="kernel", **options),
        SharpnessSchedule(1, 10, quantizers="input", **options),
    )
    last = np.arange(IN_EPOCH - 1, 20, IN_EPOCH)
    names = list(quantizers_of(network().layers[0]))
    for kind in ("kernel", "input"):
        own = names.index(f"{kind}_quantizer")
        np.testing.assert_allclose(
            history[f"{kind}_sharpness"], sharpness[last, :, own].mean(1), rtol=1e-6
        )
        assert history[f"{kind}_hard_layers"] == list(hard[last, :, own].sum(1))
    assert history["kernel_hard_layers"] == [0, 1, 2, 3, 3]
    history, sharpness, _ = train(network(), SharpnessSchedule(1, 10, **options))
    np.testing.assert_allclose(history["sharpness"], sharpness[last].mean((1, 2)), rtol=1e-6)
    assert history["hard_layers"] == [0, 1, 2, 3, 3]
    assert "hard_layers" not in train(network(), SharpnessSchedule(1, 10))[0]


def test_schedules_for_kernels_and_for_inputs_agree_on_the_layers():
    """Only the inputs of the last layer are smooth; the kernels of the others count the same."""
    x = image = keras.Input((4,))
    for i in range(2):
        x = lq.layers.QuantDense(4, kernel_quantizer="smooth_sign", name=f"layer_{i}")(x)
    x = lq.layers.QuantDense(3, input_quantizer="smooth_sign", name="layer_2")(x)
    model = keras.Model(image, x)
    assert [len(signs) for signs in smooth_signs_by_layer(model)] == [1, 1, 1]
    schedule = SharpnessSchedule(
        1, 8, hard_forward_from=0.75, order="layer_by_layer", quantizers="kernel"
    )
    model.compile("sgd", "mse")
    record = Record([model.layers[i].kernel_quantizer for i in (1, 2)])
    model.fit(np.zeros((12, 4)), np.zeros((12, 3)), 1, callbacks=[schedule, record], verbose=0)
    np.testing.assert_array_equal(np.argmax(record.hard, axis=0), [3, 6])


def test_a_trainer_sharpens_the_layers_of_its_model():
    model = network()
    trainer = kbnn.trainers.Trainer(model)
    trainer.compile("sgd", "sparse_categorical_crossentropy")
    schedule = SharpnessSchedule(1, 8, hard_forward_from=0.75, order="layer_by_layer")
    record = Record([layer.kernel_quantizer for layer in model.layers[:-1]])
    x, y = np.zeros((12, 4)), np.zeros(12)
    trainer.fit(x, y, batch_size=1, callbacks=[schedule, record], verbose=0)
    np.testing.assert_array_equal(np.argmax(record.hard, axis=0), [3, 6, 9])
