import numpy as np
import pytest

import kbnn

SAMPLE = "fashion_mnist_sample"


def order(train):
    return np.concatenate([index.numpy() for _, _, index in train])


def test_each_iteration_is_the_next_epoch():
    train = kbnn.data.load(SAMPLE, with_index=True).train
    first, second = order(train), order(train)
    assert (first != second).any()
    assert sorted(first) == sorted(second)
    again = kbnn.data.load(SAMPLE, with_index=True).train
    assert (order(again) == first).all()
    assert (order(again) == second).all()


def test_order_depends_on_seed_and_not_on_batch_size():
    first = order(kbnn.data.load(SAMPLE, with_index=True).train)
    batched = order(kbnn.data.load(SAMPLE, with_index=True, batch_size=33).train)
    seeded = order(kbnn.data.load(SAMPLE, with_index=True, validation=500, seed=1).train)
    assert (first == batched).all()
    assert (first != seeded).mean() > 0.9


def test_an_iterator_that_is_never_read_takes_no_epoch():
    train = kbnn.data.load(SAMPLE, with_index=True).train
    iter(train)
    first = order(train)
    assert (first == order(kbnn.data.load(SAMPLE, with_index=True).train)).all()


def test_set_epoch():
    train = kbnn.data.load(SAMPLE, with_index=True).train
    orders = [order(train) for _ in range(3)]
    kbnn.data.set_epoch(train, 1)
    assert (order(train) == orders[1]).all()
    assert (order(train) == orders[2]).all()
    kbnn.data.set_epoch(train, 0)
    derived = train.map(lambda image, label, index: (image, label, index))
    assert (order(derived) == orders[0]).all()


def test_order_is_the_same_in_every_process_and_version():
    train = kbnn.data.load(SAMPLE, with_index=True).train
    assert list(order(train)[:4]) == [4583, 3832, 2528, 3566]
    assert list(order(train)[:4]) == [4309, 4134, 1706, 4891]


@pytest.mark.parametrize(
    ("epoch", "error"), [(-1, ValueError), (1.0, TypeError), (True, TypeError), (None, TypeError)]
)
def test_set_epoch_refuses_epochs(epoch, error):
    train = kbnn.data.load(SAMPLE).train
    with pytest.raises(error, match=f"Expected `epoch` .* Received: epoch={epoch}"):
        kbnn.data.set_epoch(train, epoch)


@pytest.mark.parametrize("derive", [lambda splits: splits.train.take(1), lambda splits: splits[2]])
def test_set_epoch_refuses_other_datasets(derive):
    with pytest.raises(TypeError, match=r"Expected `train` .* Received: train="):
        kbnn.data.set_epoch(derive(kbnn.data.load(SAMPLE)), 0)


def test_set_epoch_refuses_what_is_no_dataset():
    with pytest.raises(TypeError, match=r"Expected `train` .* Received: train=None"):
        kbnn.data.set_epoch(None, 0)
