import numpy as np
import pytest
import tensorflow as tf

import kbnn
from kbnn.data.augment import augment

SAMPLE = "fashion_mnist_sample"


def by_index(train):
    """Image of each index, over one epoch."""
    return {
        index: image
        for images, _, indices in train.as_numpy_iterator()
        for index, image in zip(indices, images, strict=True)
    }


def load(**options):
    return kbnn.data.load(SAMPLE, with_index=True, normalize="none", **options)


def expected(image, draws, crop, flip):
    """Augment one image, in plain NumPy."""
    if crop:
        top, left = (int(draw * 9) for draw in draws[:2])
        padded = np.pad(image, [(4, 4), (4, 4), (0, 0)])
        image = padded[top : top + image.shape[0], left : left + image.shape[1]]
    return image[:, ::-1] if flip and draws[2] < 0.5 else image


@pytest.mark.parametrize(("crop", "flip"), [(True, True), (True, False), (False, True)])
def test_against_numpy(crop, flip):
    random = np.random.RandomState(0)
    images = random.randint(0, 256, (64, 6, 7, 3)).astype(np.uint8)
    draws = random.random_sample((64, 3)).astype(np.float32)
    draws[0], draws[1] = 0, np.nextafter(np.float32(1), np.float32(0))
    result = augment(tf.constant(images), tf.constant(draws), crop=crop, flip=flip)
    assert result.dtype == tf.uint8
    for image, draw, got in zip(images, draws, result.numpy(), strict=True):
        assert np.array_equal(got, expected(image, draw, crop, flip))


def test_images_of_one_batch_are_cropped_at_different_places():
    plain = by_index(load().train)
    images, _, indices = next(load(augment="crop").train.as_numpy_iterator())
    places = set()
    for image, index in zip(images, indices, strict=True):
        windows = {
            (top, left)
            for top in range(9)
            for left in range(9)
            if np.array_equal(
                image, expected(plain[index], (top / 8.99, left / 8.99, 1), True, False)
            )
        }
        assert windows
        if len(windows) == 1:
            places |= windows
    assert len(places) > 30


def test_flip_mirrors_about_half():
    plain = by_index(load().train)
    flipped = by_index(load(augment="flip").train)
    mirrored = [np.array_equal(flipped[index], plain[index][:, ::-1]) for index in plain]
    same = [np.array_equal(flipped[index], plain[index]) for index in plain]
    assert np.logical_or(mirrored, same).all()
    assert 0.45 < np.mean(mirrored) < 0.55


def test_true_is_crop_and_flip():
    options = {"augment": True}
    both = by_index(load(**options).train)
    crops = by_index(load(augment="crop").train)
    assert any(not np.array_equal(both[index], crops[index]) for index in both)
    assert any(np.array_equal(both[index], crops[index]) for index in both)
    # An image is cropped before it is flipped, so both versions have the same columns.
    rows = [np.array_equal(both[i].sum((1, 2)), crops[i].sum((1, 2))) for i in both]
    assert all(rows)


def test_draws_depend_on_seed_epoch_and_index_alone():
    first = by_index(load(augment=True).train)
    train = load(augment=True, batch_size=17, validation=1000).train
    same = by_index(train)
    assert all(np.array_equal(first[index], same[index]) for index in same.keys() & first.keys())
    other_epoch = by_index(train)
    assert np.mean([np.array_equal(same[i], other_epoch[i]) for i in same]) < 0.1
    other_seed = by_index(load(augment=True, seed=1).train)
    shared = first.keys() & other_seed.keys()
    assert np.mean([np.array_equal(first[i], other_seed[i]) for i in shared]) < 0.1


def test_padding_is_black_after_normalization():
    train = kbnn.data.load(SAMPLE, augment="crop").train
    for images, _ in train.take(1):
        assert images.numpy().min() == -1
        assert (images.numpy()[:, 0, 0] == -1).mean() > 0.9


def test_validation_and_test_are_not_augmented():
    plain, augmented = load(), load(augment=True)
    for part in ("validation", "test"):
        one, two = by_index(getattr(plain, part)), by_index(getattr(augmented, part))
        assert all(np.array_equal(one[index], two[index]) for index in one)
