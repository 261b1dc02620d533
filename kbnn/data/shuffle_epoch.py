"""Tie the order of the training data to the epoch of `fit`."""

from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn.data.epoch_counter import counter_of, set_epoch


class ShuffleEpoch(keras.callbacks.Callback):
    """Give each epoch of `fit` the shuffle and augmentation that belong to it.

    Without it every new iteration over `train` takes the next epoch's order, counted from 0 in
    each process. With it, epoch `k` gets the order of epoch `k` wherever training began: after
    `fit(initial_epoch=k)`, or when `BackupAndRestore` goes on at an epoch's end or, with
    `save_freq`, within an epoch, the images come as in an uninterrupted training. It works with
    one device and under `tf.distribute` strategies.

    Args:
        train: The `train` of `kbnn.data.load`. `fit` may also be given a dataset derived from it
            element by element (`train.map(...)`).

    Raises:
        TypeError: `train` did not come from `kbnn.data.load`.
        RuntimeError: In `fit`, when an epoch does not begin with a new iteration over `train`,
            so that its order cannot be set: `train.repeat()`, or a `steps_per_epoch` other than
            the number of batches.

    Example:
        >>> import kbnn
        >>> train = kbnn.data.load("fashion_mnist_sample").train
        >>> callbacks = [kbnn.callbacks.ShuffleEpoch(train)]   # for fit(..., callbacks=callbacks)
    """

    def __init__(self, train: tf.data.Dataset) -> None:
        super().__init__()
        self._counter = counter_of(train)
        self._train = train
        self._unchecked: int | None = None
        self._first_batch = True

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._unchecked = epoch
        self._first_batch = True
        set_epoch(self._train, epoch)

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        # Nothing has been read before the first batch of an epoch. A number other than 0 is that
        # of a backup made within the epoch, which Keras would continue with the epoch's first data.
        if not self._first_batch:
            self._check_started()
        elif batch > 0:
            self._counter.skip(batch)
        self._first_batch = False

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._check_started()

    def _check_started(self) -> None:
        if self._unchecked is None:
            return
        started = self._counter.last_started()
        if started != self._unchecked:
            received = "an earlier iteration" if started is None else f"epoch {started}"
            raise RuntimeError(
                f"Expected epoch {self._unchecked} of fit to begin a new iteration over train. "
                f"Received: the order of {received}. Give fit the dataset itself: without "
                "repeat(), without steps_per_epoch, and not to another fit at the same time."
            )
        self._unchecked = None
