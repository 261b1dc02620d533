import sys

import numpy as np
import pytest

import kbnn
from kbnn.data import source

# What tensorflow-datasets and the packages that it imports do on import and on first use.
NAMED = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",
    "ignore::ResourceWarning",
)


@pytest.fixture(autouse=True)
def no_debian_package(tmp_path, monkeypatch):
    monkeypatch.setattr(source, "DEBIAN_FASHION_MNIST", tmp_path / "none")


@NAMED
def test_tensorflow_datasets():
    tfds = pytest.importorskip("tensorflow_datasets")
    with tfds.testing.mock_data(num_examples=40):
        train, validation, test = kbnn.data.load("cifar100", batch_size=10, validation=10)
    assert [len(part) for part in (train, validation, test)] == [3, 1, 4]
    assert train.element_spec[0].shape.as_list() == [None, 32, 32, 3]
    assert np.concatenate([labels for _, labels in train]).max() < 100


@NAMED
def test_tensorflow_datasets_has_what_it_downloads_with():
    tfds = pytest.importorskip("tensorflow_datasets")
    # Where the checksums of the download are; mocked data do without.
    assert tfds.builder_cls("cifar10").code_path.exists()


def test_without_tensorflow_datasets(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(FileNotFoundError) as caught:
        kbnn.data.load("fashion_mnist")
    assert isinstance(caught.value.__cause__, ImportError)
    for way in ("directory=", "dataset-fashion-mnist", "kbnn[tfds]", "fashion_mnist_sample"):
        assert way in str(caught.value)


def test_failing_download(monkeypatch):
    failure = ConnectionError("no route to host")

    def fail(name):
        raise failure

    monkeypatch.setattr(source, "download", fail)
    with pytest.raises(FileNotFoundError, match=r"data of mnist .* no route to host") as caught:
        kbnn.data.load("mnist")
    assert caught.value.__cause__ is failure
    assert "Debian" not in str(caught.value)


def test_debian_folder_is_used(tmp_path, monkeypatch, write_idx):
    folder = tmp_path / "debian"
    folder.mkdir()
    for prefix, count in (("train", 20), ("t10k", 10)):
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", np.zeros((count, 28, 28)))
        write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", np.arange(count) % 10)
    monkeypatch.setattr(source, "DEBIAN_FASHION_MNIST", folder)
    assert len(kbnn.data.load("fashion_mnist", batch_size=1, validation=0).train) == 20


def test_labels_of_a_named_dataset_are_checked(tmp_path):
    images = np.zeros((11, 28, 28), np.uint8)
    labels = np.arange(11)
    np.savez(tmp_path / "x.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    with pytest.raises(ValueError, match=r"training labels in 0 \.\. 9. Received: .* 0 \.\. 10"):
        kbnn.data.load("mnist", directory=tmp_path)
