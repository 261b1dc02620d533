"""How labels and sample indices reach contrastive terms in `fit`."""

import contextlib

import larq as lq
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn
from kbnn.losses import RealPathLoss
from kbnn.techniques import EmbeddingQueue, MemoryBank
from kbnn.trainers import LatentGradientTrainer, LatentMixtureTrainer, LatentWeightTrainer, Trainer
from kbnn.training import batch_context

SHAPE, CLASSES, SAMPLES = (8, 8, 1), 3, 48


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, CLASSES, SAMPLES)
    return rng.normal(size=(SAMPLES, *SHAPE)).astype("f"), labels, rng.permutation(SAMPLES)


def dataset(*arrays):
    return tf.data.Dataset.from_tensor_slices(arrays).shuffle(SAMPLES, seed=1).batch(16)


def contrastive_model(**options):
    """A network of one binary layer, with the contrastive term at its input."""
    keras.utils.set_random_seed(1)
    x = image = keras.Input(SHAPE)
    x = keras.layers.Conv2D(8, 3, strides=2)(x)
    x = lq.layers.QuantConv2D(
        8,
        3,
        input_quantizer="ste_sign",
        kernel_quantizer="ste_sign",
        kernel_constraint="weight_clip",
        name="binary",
    )(keras.layers.BatchNormalization()(x))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.BatchNormalization()(x))
    model = keras.Model(image, keras.layers.Dense(CLASSES, activation="softmax")(x))
    options = {"negatives": MemoryBank(rows=SAMPLES, count=16), **options}
    return kbnn.techniques.with_contrast(model, embedding=8, **options)


def compiled(trainer):
    trainer.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    return trainer


def bank(made):
    return made.get_layer("binary").input_quantizer.contrast.memory


def mixture(model, **options):
    share = keras.optimizers.schedules.PolynomialDecay(0.0, 10, 1.0)
    return LatentMixtureTrainer(model, share, **options)


@pytest.mark.parametrize(
    "trainer",
    [
        Trainer,
        LatentWeightTrainer,
        lambda model, **options: LatentWeightTrainer(model, [RealPathLoss()], **options),
        LatentGradientTrainer,
        mixture,
    ],
)
def test_each_sample_reaches_its_row_with_its_class(trainer, arrays):
    x, y, index = arrays
    model = contrastive_model()
    before = bank(model)
    before = [before.binary_rows.numpy(), before.real_rows.numpy()]
    made = compiled(trainer(model, with_index=True))
    half = index[:32]
    history = made.fit(
        dataset(x[:32], y[:32], half), epochs=2, verbose=0, validation_data=dataset(*arrays)
    ).history
    assert np.isfinite([*history["loss"], *history["val_loss"]]).all()
    labels = bank(model).row_labels.numpy()
    assert labels[half].tolist() == y[:32].tolist()
    others = np.setdiff1d(np.arange(SAMPLES), half)
    for rows, old in zip((bank(model).binary_rows, bank(model).real_rows), before, strict=True):
        np.testing.assert_array_equal(rows.numpy()[others], old[others])
        assert (rows.numpy()[half] != old[half]).any(axis=1).all()
    assert int(bank(model).draws) == 4


@pytest.mark.parametrize("trainer", [Trainer, LatentWeightTrainer])
def test_labels_reach_a_queue_without_indices(trainer, arrays):
    model = contrastive_model(negatives=EmbeddingQueue(SAMPLES))
    compiled(trainer(model)).fit(dataset(*arrays[:2]), epochs=1, verbose=0)
    assert sorted(bank(model).row_labels.numpy()) == sorted(arrays[1])


def test_without_a_trainer_no_labels_are_known(arrays):
    model = compiled(contrastive_model(negatives=EmbeddingQueue(SAMPLES)))
    model.fit(dataset(*arrays[:2]), epochs=1, verbose=0)
    assert set(bank(model).row_labels.numpy()) == {tf.int64.min}
    assert int(bank(model).written) == SAMPLES


def test_sample_weights_stand_behind_the_index(arrays):
    x, y, index = arrays
    weights = np.zeros(SAMPLES, "f")
    model = contrastive_model(weight=0.0)
    made = compiled(Trainer(model, with_index=True))
    history = made.fit(dataset(x, y, index, weights), epochs=1, verbose=0).history
    assert history["loss"] == [0.0]
    assert (bank(model).row_labels.numpy()[index] == y).all()


def test_validation_data_may_have_the_index_or_weights_or_neither(arrays):
    x, y, index = arrays
    made = compiled(Trainer(contrastive_model(), with_index=True))
    expected = made.evaluate(dataset(x, y), verbose=0)
    assert made.evaluate(dataset(x, y, index), verbose=0) == pytest.approx(expected, rel=1e-5)
    half = np.full(SAMPLES, 0.5, "f")
    for parts in ((x, y, half), (x, y, index, half)):
        assert made.evaluate(dataset(*parts), verbose=0) == pytest.approx(expected / 2, rel=1e-5)


@pytest.mark.parametrize("trainer", [Trainer, LatentWeightTrainer])
def test_integers_behind_the_labels_are_no_sample_weights(trainer, arrays):
    made = compiled(trainer(contrastive_model(negatives="batch")))
    for call in (made.fit, made.evaluate):
        with pytest.raises(ValueError, match=r"integers.*Trainer\(model, with_index=True\)"):
            call(dataset(*arrays), verbose=0)


def test_class_weights_may_be_integers_and_have_no_place_beside_an_index(arrays):
    x, y, index = arrays
    losses = []
    for weights in ({0: 2, 1: 1, 2: 3}, {0: 2.0, 1: 1.0, 2: 3.0}, None):
        made = compiled(Trainer(contrastive_model(negatives="batch")))
        fitted = made.fit(dataset(x, y), class_weight=weights, verbose=0)
        losses += fitted.history["loss"]
    assert losses[0] == losses[1] != losses[2]
    with_index = compiled(Trainer(contrastive_model(), with_index=True))
    with pytest.raises(ValueError, match=r"no `class_weight` for a trainer with_index.*Received"):
        with_index.fit(dataset(x, y, index), class_weight={0: 2.0}, verbose=0)


def test_labels_are_of_one_class_where_they_are_equal():
    def groups(labels):
        found = batch_context.classes(np.array(labels)).numpy()
        return [int(np.flatnonzero(found == one)[0]) for one in found]

    one_hot = np.eye(5, dtype="f")[[3, 1, 3, 0]]
    for labels in (
        [3, 1, 3, 0],
        [[3], [1], [3], [0]],
        one_hot,
        one_hot.astype(int),
        0.9 * one_hot,
    ):
        assert groups(labels) == [0, 1, 0, 3]
    several = np.array([[1, 1, 0], [1, 0, 1], [1, 1, 0], [0, 1, 1]])
    assert groups(several) == groups(several.astype("f")) == [0, 1, 0, 3]
    targets = np.random.default_rng(0).normal(size=(1000, 2)).astype("f")
    assert groups(targets) == list(range(1000))
    every = (np.arange(2**12)[:, None] >> np.arange(12) & 1).astype("f")
    assert groups(every) == list(range(2**12))
    for other in (None, {"a": [1]}, np.zeros((3, 2, 2)), np.array(["a", "b"])):
        assert batch_context.classes(other) is None


def test_a_missing_index_is_an_error(arrays):
    x, y, index = arrays
    made = compiled(Trainer(contrastive_model(), with_index=True))
    with pytest.raises(ValueError, match=r"Expected batches \(x, y, index\).*no integers"):
        made.fit(dataset(x, y), verbose=0)
    with pytest.raises(ValueError, match="Received: 5 parts"):
        made.fit(dataset(x, y, index, index, index), verbose=0)
    with pytest.raises(ValueError, match=r"indices of the samples.*with_index=True"):
        compiled(Trainer(contrastive_model())).fit(dataset(x, y), verbose=0)
    plain = compiled(contrastive_model())
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"indices of the samples.*with_index"):
        plain.fit(dataset(x, y), verbose=0)
    plain.compile("adam", "sparse_categorical_crossentropy", jit_compile=True)
    assert np.isnan(plain.fit(dataset(x, y), verbose=0).history["loss"]).all()


@pytest.mark.parametrize("jit_compile", [False, True])
def test_indices_that_repeat_train(jit_compile, arrays):
    x, y, index = arrays
    made = Trainer(contrastive_model(), with_index=True)
    made.compile("adam", "sparse_categorical_crossentropy", jit_compile=jit_compile)
    history = made.fit(dataset(x, y, index // 2), epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert all(np.isfinite(weight).all() for weight in made.get_weights())


def test_indices_out_of_range_are_an_error_and_under_xla_leave_finite_weights(arrays):
    x, y, index = arrays
    made = compiled(Trainer(contrastive_model(), with_index=True))
    with pytest.raises(tf.errors.InvalidArgumentError, match="indices from 0 to 47"):
        made.fit(dataset(x, y, index + 5), epochs=1, verbose=0)
    made.compile("adam", "sparse_categorical_crossentropy", jit_compile=True)
    history = made.fit(dataset(x, y, index * 1000 - 5), epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert all(np.isfinite(weight).all() for weight in made.get_weights())


def test_a_batch_is_handed_over_inside_alone_and_the_one_before_comes_back():
    assert batch_context.current() == (None, None)
    with batch_context.batch_scope(1, 2):
        with contextlib.suppress(RuntimeError), batch_context.batch_scope(3, None):
            assert batch_context.current() == (3, None)
            raise RuntimeError
        assert batch_context.current() == (1, 2)
    assert batch_context.current() == (None, None)


@pytest.mark.parametrize(
    "negatives", [EmbeddingQueue(40), MemoryBank(rows=SAMPLES, count=16)], ids=["queue", "bank"]
)
def test_a_resumed_training_repeats_the_draws(negatives, arrays, tmp_path):
    def trained(epochs, **fit_options):
        made = compiled(Trainer(contrastive_model(negatives=negatives), with_index=True))
        data = tf.data.Dataset.from_tensor_slices(arrays).batch(16)
        made.fit(data, epochs=epochs, verbose=0, **fit_options)
        return made

    backup = [keras.callbacks.BackupAndRestore(tmp_path / "state", delete_checkpoint=False)]
    expected = trained(3)
    trained(2, callbacks=backup)
    found = trained(3, callbacks=backup)
    for weight, one, other in zip(
        expected.weights, expected.get_weights(), found.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other, err_msg=weight.name)
