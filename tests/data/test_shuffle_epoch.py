import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn
from tests.data import mirrored_order
from tests.data.mirrored_order import Recorder


def load(**options):
    return kbnn.data.load("fashion_mnist_sample", batch_size=500, with_index=True, **options)


def orders(epochs, **options):
    """The order in which `fit` saw the images, epoch by epoch, in a fresh pipeline and model."""
    return indices(epochs, **options).reshape(-1, 4500)


def indices(epochs, *, initial_epoch=0, extra=(), **options):
    """The index of every image that `fit` saw, in a fresh pipeline and model."""
    splits = load()
    model = Recorder()
    model.compile("sgd", "mse", steps_per_execution=options.pop("steps_per_execution", None))
    model.fit(
        splits.train,
        epochs=epochs,
        initial_epoch=initial_epoch,
        callbacks=[kbnn.callbacks.ShuffleEpoch(splits.train), *extra],
        verbose=0,
        **options,
    )
    return np.concatenate(model.seen)


@pytest.fixture(scope="module")
def uninterrupted():
    return orders(4)


def test_epochs_differ(uninterrupted):
    assert len(np.unique(uninterrupted, axis=0)) == 4
    assert (np.sort(uninterrupted) == np.sort(uninterrupted[0])).all()


def test_order_is_that_of_plain_iterations(uninterrupted):
    train = load().train
    for epoch in range(4):
        assert (np.concatenate([i for _, _, i in train]) == uninterrupted[epoch]).all()


def test_initial_epoch(uninterrupted):
    assert (orders(4, initial_epoch=2) == uninterrupted[2:]).all()


def test_with_validation_data_and_steps_per_execution(uninterrupted):
    validation = load().validation
    assert (orders(4, validation_data=validation) == uninterrupted).all()
    assert (orders(4, steps_per_execution=4) == uninterrupted).all()


def test_other_use_of_train_does_not_change_the_order(uninterrupted):
    splits = load()
    model = Recorder()
    model.compile("sgd", "mse")
    # The training set is also what is validated on, and is read before and between.
    list(splits.train.take(2))
    for epoch in range(2):
        model.fit(
            splits.train,
            validation_data=splits.train,
            initial_epoch=epoch,
            epochs=epoch + 1,
            callbacks=[kbnn.callbacks.ShuffleEpoch(splits.train)],
            verbose=0,
        )
        list(splits.train)
    assert (np.concatenate(model.seen).reshape(-1, 4500) == uninterrupted[:2]).all()


def test_backup_and_restore(uninterrupted, tmp_path):
    class Interruption(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(KeyboardInterrupt):
        orders(4, extra=[backup, Interruption()])
    again = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    assert (orders(4, extra=[again]) == uninterrupted[2:]).all()


def test_backup_within_an_epoch(uninterrupted, tmp_path):
    class Interruption(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.epoch = epoch

        def on_train_batch_end(self, batch, logs=None):
            if (self.epoch, batch) == (1, 5):
                raise KeyboardInterrupt

    # An epoch has 9 batches, so the last backup is that after the fifth batch of epoch 1.
    options = {"backup_dir": tmp_path / "backup", "save_freq": 2}
    with pytest.raises(KeyboardInterrupt):
        orders(4, extra=[keras.callbacks.BackupAndRestore(**options), Interruption()])
    resumed = indices(4, extra=[keras.callbacks.BackupAndRestore(**options)])
    assert np.array_equal(resumed, uninterrupted.flatten()[(9 + 5) * 500 :])


NO_ITERATION = "Expected epoch 1 of fit to begin a new iteration"


def fitted(derive, **options):
    train = load().train
    model = Recorder()
    model.compile("sgd", "mse")
    shuffle_epoch = kbnn.callbacks.ShuffleEpoch(train)
    model.fit(derive(train), epochs=2, callbacks=[shuffle_epoch], verbose=0, **options)
    return np.concatenate(model.seen)


def test_epochs_that_end_within_an_iteration_are_refused():
    with pytest.raises(RuntimeError, match=NO_ITERATION):
        fitted(lambda train: train, steps_per_epoch=4)


@pytest.mark.parametrize("count", [None, 2])
def test_repetition_is_refused_or_right(count, uninterrupted):
    """Which of the two depends on how far the pipeline has read ahead when an epoch ends."""
    try:
        seen = fitted(lambda train: train.repeat(count), steps_per_epoch=9)
    except RuntimeError as error:
        assert NO_ITERATION in str(error)  # noqa: PT017
    else:
        np.testing.assert_array_equal(seen, uninterrupted[:2].flatten())


def test_fit_on_another_dataset_is_refused():
    model = Recorder()
    model.compile("sgd", "mse")
    with pytest.raises(RuntimeError, match=r"Expected epoch 0 of fit .* an earlier iteration"):
        model.fit(load().train, callbacks=[kbnn.callbacks.ShuffleEpoch(load().train)], verbose=0)


def test_fit_on_a_mapped_dataset(uninterrupted):
    train = load().train
    model = Recorder()
    model.compile("sgd", "mse")
    mapped = train.map(lambda image, label, index: (image * 0.5, label, index))
    callback = kbnn.callbacks.ShuffleEpoch(train)
    model.fit(mapped, initial_epoch=1, epochs=2, callbacks=[callback], verbose=0)
    assert (np.concatenate(model.seen) == uninterrupted[1]).all()


@pytest.mark.parametrize("train", [None, tf.data.Dataset.range(3)])
def test_refuses_other_datasets(train):
    with pytest.raises(TypeError, match=r"Expected `train` .* Received: train="):
        kbnn.callbacks.ShuffleEpoch(train)


@pytest.mark.parametrize("scope", ["inside", pytest.param("outside", marks=pytest.mark.slow)])
def test_two_devices(uninterrupted, scope, tmp_path):
    # One strategy per process: a second one in the same process dies.
    out = tmp_path / "order.npy"
    subprocess.run([sys.executable, mirrored_order.__file__, scope, out], check=True, timeout=300)
    mirrored = np.load(out)
    # The replicas share out each batch, and run in any order.
    batches = np.sort(mirrored.reshape(-1, 9, 500))
    assert (batches == np.sort(uninterrupted[2:].reshape(-1, 9, 500))).all()
