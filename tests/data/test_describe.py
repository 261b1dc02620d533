import numpy as np
import pytest

import kbnn


def test_named():
    info = kbnn.data.describe("cifar10")
    assert info.input_shape == (32, 32, 3)
    assert info.class_names[:2] == ("airplane", "automobile")
    assert (info.classes, info.train_size, info.test_size) == (10, 50_000, 10_000)


@pytest.mark.parametrize(
    "name", ["fashion_mnist", "mnist", "cifar10", "cifar100", "fashion_mnist_sample"]
)
def test_every_name_has_its_class_names(name):
    info = kbnn.data.describe(name)
    assert info.name == name
    assert len(set(info.class_names)) == info.classes


def test_sample_is_what_is_said_of_it():
    train, _, test = kbnn.data.load("fashion_mnist_sample", validation=0)
    info = kbnn.data.describe("fashion_mnist_sample")
    for dataset, size in ((train, info.train_size), (test, info.test_size)):
        labels = np.concatenate([labels for _, labels in dataset.as_numpy_iterator()])
        assert (np.bincount(labels) == size // info.classes).all()
        assert tuple(dataset.element_spec[0].shape[1:]) == info.input_shape


def test_arrays(tmp_path, arrays):
    np.savez(tmp_path / "some.npz", **arrays)
    info = kbnn.data.describe("folder", directory=tmp_path)
    assert info == ("folder", (4, 5, 3), 3, ("0", "1", "2"), 30, 6)
    resized = kbnn.data.describe("folder", directory=tmp_path, image_size=(8, 6))
    assert resized == info._replace(input_shape=(8, 6, 3))


def test_image_folder(image_folder):
    info = kbnn.data.describe("folder", directory=image_folder, image_size=(8, 9), channels=1)
    assert info == ("folder", (8, 9, 1), 2, ("a", "b"), 12, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "imagenet"}, "Expected `name` .* Received: name='imagenet'"),
        ({"name": "folder"}, "Expected `directory` .* Received: directory=None"),
        ({"name": "mnist", "channels": 3}, "Expected `channels` .* Received: channels=3"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        kbnn.data.describe(**options)
