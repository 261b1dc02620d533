import numpy as np
import pytest

from kbnn.data.stratified_split import stratified_split

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
