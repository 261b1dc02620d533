import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn
from kbnn.data import source


def collect(dataset):
    """All elements of a dataset, each component concatenated."""
    return [np.concatenate(parts) for parts in zip(*dataset.as_numpy_iterator(), strict=True)]


@pytest.fixture
def npz(tmp_path, arrays):
    path = tmp_path / "arrays.npz"
    np.savez(path, **arrays)
    return path


def test_bundled_sample_is_small_and_licensed():
    folder = pathlib.Path(kbnn.data.__file__).parent
    assert (folder / "fashion_mnist_sample.npz").stat().st_size <= 3_000_000
    assert "Zalando SE" in (folder / "LICENSE.fashion-mnist").read_text()


def test_sample_shapes_types_and_sizes():
    train, validation, test = kbnn.data.load("fashion_mnist_sample", batch_size=64)
    assert [len(part) for part in (train, validation, test)] == [71, 8, 16]
    for part, count in ((train, 4500), (validation, 500), (test, 1000)):
        images, labels = collect(part)
        assert images.shape == (count, 28, 28, 1)
        assert images.dtype == np.float32
        assert labels.dtype == np.int64
        assert images.min() == -1
        assert images.max() == 1
        assert (np.bincount(labels) == count // 10).all()


def test_elements_have_static_shape():
    images, labels, index = kbnn.data.load(
        "fashion_mnist_sample", augment=True, with_index=True
    ).train.element_spec
    assert images.shape.as_list() == [None, 28, 28, 1]
    assert labels.shape.as_list() == index.shape.as_list() == [None]
    assert index.dtype == tf.int64


def test_index_leads_back_to_the_sample(npz, arrays):
    splits = kbnn.data.load(
        "folder", directory=npz, batch_size=7, with_index=True, normalize="none", validation=6
    )
    seen = []
    for part in (splits.train, splits.validation):
        images, labels, index = collect(part)
        assert (images == arrays["x_train"][index]).all()
        assert (labels == arrays["y_train"][index]).all()
        seen += list(index)
    assert sorted(seen) == list(range(30))
    images, labels, index = collect(splits.test)
    assert (index == np.arange(6)).all()
    assert (images == arrays["x_test"]).all()
    assert (labels == arrays["y_test"]).all()


def test_split_depends_on_seed_alone(npz):
    def held_out(**options):
        options = {"seed": 3, "with_index": True, "batch_size": 128, **options}
        images, labels, *_ = collect(
            kbnn.data.load("folder", directory=npz, validation=9, normalize="none", **options)[1]
        )
        assert (np.bincount(labels) == 3).all()
        return images

    expected = held_out()
    for options in ({"with_index": False}, {"augment": "flip"}, {"batch_size": 4}):
        assert (held_out(**options) == expected).all()
    assert (held_out(seed=4) != expected).any()


def test_no_validation(npz):
    train, validation, _ = kbnn.data.load("folder", directory=npz, validation=0)
    assert validation is None
    assert len(collect(train)[1]) == 30


def test_training_is_shuffled_and_evaluation_is_not():
    train, validation, test = kbnn.data.load("fashion_mnist_sample", with_index=True)
    index = collect(train)[2]
    assert (np.diff(index) < 0).mean() > 0.4
    for part in (validation, test):
        assert (np.diff(collect(part)[2]) > 0).all()
        assert (collect(part)[2] == collect(part)[2]).all()


def test_pipeline_and_layer_normalize_alike():
    layer = kbnn.data.normalization_layer()
    as_model = keras.Sequential([keras.Input((28, 28, 1), dtype="uint8"), layer])
    normalized, _ = collect(kbnn.data.load("fashion_mnist_sample").test)
    raw, _ = collect(kbnn.data.load("fashion_mnist_sample", normalize="none").test)
    assert raw.dtype == np.uint8
    assert len(np.unique(raw)) == 256
    assert np.array_equal(layer(raw).numpy(), normalized)
    assert np.array_equal(as_model.predict(raw, verbose=0), normalized)
    np.testing.assert_allclose(normalized, raw / 127.5 - 1, atol=1e-6)
    assert type(layer) is keras.layers.Rescaling
    assert layer.name == "normalization"


def test_normalization_layer_keeps_float32_under_mixed_precision():
    keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        layer = kbnn.data.normalization_layer()
    finally:
        keras.mixed_precision.set_global_policy("float32")
    assert layer(tf.constant([3], tf.uint8)).dtype == tf.float32


def test_arrays_are_resized(npz):
    images, _ = collect(
        kbnn.data.load("folder", directory=npz, image_size=(8, 6), normalize="none").test
    )
    assert images.shape == (6, 8, 6, 3)
    assert images.dtype == np.uint8


def test_fit_with_validation_data():
    train, validation, _ = kbnn.data.load("fashion_mnist_sample")
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    history = model.fit(train, validation_data=validation, epochs=2, verbose=0).history
    assert history["val_accuracy"][-1] > 0.6


@pytest.mark.skipif(
    not source.DEBIAN_FASHION_MNIST.is_dir(),
    reason="the Debian package dataset-fashion-mnist is not installed",
)
def test_debian_package():
    train, validation, test = kbnn.data.load("fashion_mnist", normalize="none")
    assert (len(train), len(validation), len(test)) == (422, 47, 79)
    assert (np.bincount(collect(validation)[1]) == 600).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "imagenet"}, r"Expected `name` .* Received: name='imagenet'"),
        ({"name": "folder"}, "Expected `directory` .* Received: directory=None"),
        ({"directory": "/no/such"}, "Expected `directory` .* directory='/no/such'"),
        ({"directory": "."}, r"`directory` to be None .* directory='\.'"),
        ({"directory": 3}, "Expected `directory` .* directory=3"),
        ({"batch_size": 0}, "Expected `batch_size` .* batch_size=0"),
        ({"batch_size": 1.5}, "Expected `batch_size` .* batch_size=1.5"),
        ({"batch_size": True}, "Expected `batch_size` .* batch_size=True"),
        ({"validation": 1.0}, "Expected `validation` .* validation=1.0"),
        ({"validation": -1}, "Expected `validation` .* validation=-1"),
        ({"validation": 5000}, "5000 training images. Received: validation=5000"),
        ({"validation": float("nan")}, "Expected `validation` .* validation=nan"),
        ({"validation": "0.1"}, "Expected `validation` .* validation='0.1'"),
        ({"validation": True}, "Expected `validation` .* validation=True"),
        ({"normalize": "layer"}, "Expected `normalize` .* normalize='layer'"),
        ({"augment": "rotate"}, "Expected `augment` .* augment='rotate'"),
        ({"augment": 1}, "Expected `augment` .* augment=1"),
        ({"with_index": 1}, "Expected `with_index` .* with_index=1"),
        ({"seed": -1}, "Expected `seed` .* seed=-1"),
        ({"seed": 0.5}, "Expected `seed` .* seed=0.5"),
        ({"seed": 2**32}, "Expected `seed` .* seed=4294967296"),
        ({"image_size": 28}, "Expected `image_size` .* image_size=28"),
        ({"image_size": (0, 28)}, "Expected `image_size` .* image_size="),
        ({"channels": 2}, "Expected `channels` .* channels=2"),
        ({"channels": 3}, "Expected `channels` .* channels=3"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        kbnn.data.load(**{"name": "fashion_mnist_sample", **options})
