import numpy as np
import pytest

import kbnn
from kbnn.data.order import stratified_split

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


@pytest.mark.parametrize("epoch", [-1, 1.0, True, None])
def test_set_epoch_refuses_epochs(epoch):
    train = kbnn.data.load(SAMPLE).train
    with pytest.raises(ValueError, match=f"Expected `epoch` .* Received: epoch={epoch}"):
        kbnn.data.set_epoch(train, epoch)


@pytest.mark.parametrize("derive", [lambda splits: splits.train.take(1), lambda splits: splits[2]])
def test_set_epoch_refuses_other_datasets(derive):
    with pytest.raises(TypeError, match=r"Expected `train` .* Received: train="):
        kbnn.data.set_epoch(derive(kbnn.data.load(SAMPLE)), 0)


def test_set_epoch_refuses_what_is_no_dataset():
    with pytest.raises(TypeError, match=r"Expected `train` .* Received: train=None"):
        kbnn.data.set_epoch(None, 0)


LABELS = np.repeat([0, 1, 2], [50, 30, 20])


@pytest.mark.parametrize(
    ("validation", "counts"),
    [(0.1, [5, 3, 2]), (0.2, [10, 6, 4]), (7, [4, 2, 1]), (1, [1, 0, 0]), (99, [49, 30, 20])],
)
def test_class_counts(validation, counts):
    train, held_out = stratified_split(LABELS, validation, 0)
    assert np.bincount(LABELS[held_out], minlength=3).tolist() == counts
    assert sorted([*train, *held_out]) == list(range(100))


def test_small_fraction_takes_one():
    assert len(stratified_split(LABELS, 0.001, 0)[1]) == 1


@pytest.mark.parametrize("validation", [0, 0.0])
def test_none(validation):
    train, held_out = stratified_split(LABELS, validation, 0)
    assert len(train) == 100
    assert len(held_out) == 0


def test_seed():
    first, again, other = (stratified_split(LABELS, 10, seed)[1] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()
    assert first.tolist() == [2, 10, 11, 28, 41, 73, 75, 76, 89, 97]


@pytest.mark.parametrize("validation", [100, 101, 0.999])
def test_nothing_left(validation):
    with pytest.raises(ValueError, match=f"100 training images. Received: validation={validation}"):
        stratified_split(LABELS, validation, 0)
