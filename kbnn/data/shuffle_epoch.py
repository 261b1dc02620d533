"""Which order of the training data an epoch of `fit` gets."""

import weakref
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn import _checks

# Keys of the table, and the value that means no epoch.
_NEXT, _STARTED, _SKIPPED = 0, 1, 2
_NONE = -1


class EpochCounter:
    """What a tf.data pipeline and Python share: the next epoch, its first batch, the last started.

    They are kept in a lookup table because a table lives on the CPU whatever the default device,
    and is not replicated when it is made inside `strategy.scope()`, as a variable would be; a
    pipeline can capture neither a GPU variable nor a replicated one.
    """

    def __init__(self) -> None:
        with tf.device("CPU:0"):
            self._table = tf.lookup.experimental.MutableHashTable(
                tf.int64, tf.int64, default_value=_NONE
            )
        self.set_next(0)

    def start(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the epoch that starts now and its first batch; move on to the next epoch."""
        keys = tf.constant([_NEXT, _STARTED, _SKIPPED], tf.int64)
        epoch, _, skipped = tf.unstack(tf.ensure_shape(self._table.lookup(keys), [3]))
        self._table.insert(keys, tf.stack([epoch + 1, epoch, tf.zeros_like(skipped)]))
        return epoch, skipped

    def set_next(self, epoch: int) -> None:
        """Make `epoch` the one that the next iteration starts, and forget what was started."""
        self._table.insert(
            tf.constant([_NEXT, _STARTED, _SKIPPED], tf.int64),
            tf.constant([epoch, _NONE, 0], tf.int64),
        )

    def skip(self, batches: int) -> None:
        """Let the next iteration leave out its first batches."""
        self._table.insert(tf.constant(_SKIPPED, tf.int64), tf.constant(batches, tf.int64))

    def last_started(self) -> int | None:
        """Return the epoch that the latest iteration since `set_next` started, None if none was."""
        epoch = int(self._table.lookup(tf.constant(_STARTED, tf.int64)))
        return None if epoch == _NONE else epoch


_COUNTERS: "weakref.WeakKeyDictionary[tf.data.Dataset, EpochCounter]" = weakref.WeakKeyDictionary()


def register(train: tf.data.Dataset, counter: EpochCounter) -> None:
    """Remember that `train` takes its order from `counter`."""
    _COUNTERS[train] = counter


def counter_of(train: Any) -> EpochCounter:
    """Return the counter of a training dataset.

    Raises:
        TypeError: `train` is not the training dataset that `kbnn.data.load` returned.
    """
    counter = _COUNTERS.get(train) if isinstance(train, tf.data.Dataset) else None
    if counter is None:
        raise TypeError(
            "Expected `train` to be the training dataset that kbnn.data.load returned (not one "
            f"derived from it by map, take, ...). Received: train={train!r}"
        )
    return counter


def set_epoch(train: tf.data.Dataset, epoch: int) -> None:
    """Make the next iteration over a training dataset give the order of `epoch`.

    The order is a pure function of the seed and the epoch. Later iterations count from there:
    `epoch + 1`, and so on. An iteration that has already started keeps its order. Under `fit`, use
    `kbnn.callbacks.ShuffleEpoch`.

    Args:
        train: The `train` of `kbnn.data.load`. Datasets derived from it (by `map`, say) follow,
            but cannot be given here.
        epoch: The epoch, counted from 0.

    Raises:
        TypeError: `train` did not come from `load`.
        ValueError: `epoch` is not an integer of at least 0.

    Example:
        >>> import kbnn
        >>> train = kbnn.data.load("fashion_mnist_sample", with_index=True).train
        >>> first = [index.numpy()[0] for _, _, index in train]   # epoch 0
        >>> other = [index.numpy()[0] for _, _, index in train]   # epoch 1
        >>> kbnn.data.set_epoch(train, 0)
        >>> again = [index.numpy()[0] for _, _, index in train]   # epoch 0
        >>> first == other, first == again
        (False, True)
    """
    counter = counter_of(train)
    counter.set_next(_checks.integer("epoch", epoch, least=0))


class ShuffleEpoch(keras.callbacks.Callback):
    """Give each epoch of `fit` the shuffle and augmentation that belong to it.

    Without it, every new iteration over `train` takes the next epoch's order, counted from 0 in
    each process. With it, epoch `k` gets the order of epoch `k` wherever training began. The images
    come in the same order as in uninterrupted training after `fit(initial_epoch=k)`, and when
    `BackupAndRestore` resumes at an epoch's end or, with `save_freq`, within an epoch. It works
    with one device and under `tf.distribute` strategies.

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
