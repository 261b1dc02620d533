import gzip

import numpy as np
import pytest
import tensorflow as tf

import kbnn

IDX_NAMES = [
    f"{prefix}-{part}-ubyte"
    for prefix in ("train", "t10k")
    for part in ("images-idx3", "labels-idx1")
]


def collect(dataset):
    return [np.concatenate(parts) for parts in zip(*dataset.as_numpy_iterator(), strict=True)]


@pytest.fixture
def idx_folder(tmp_path, write_idx):
    """Two classes of 4x5 gray images, one set gzipped and one not."""
    random = np.random.RandomState(0)
    folder = tmp_path / "idx"
    folder.mkdir()
    for prefix, count, suffix in (("train", 12, ".gz"), ("t10k", 4, "")):
        images = random.randint(0, 256, (count, 4, 5)).astype(np.uint8)
        write_idx(folder / f"{prefix}-images-idx3-ubyte{suffix}", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte{suffix}", np.arange(count) % 2)
    return folder


def test_idx(idx_folder):
    splits = kbnn.data.load("folder", directory=idx_folder, validation=2, normalize="none")
    expected = np.frombuffer((idx_folder / "t10k-images-idx3-ubyte").read_bytes()[16:], np.uint8)
    images, labels = collect(splits.test)
    assert np.array_equal(images, expected.reshape(4, 4, 5, 1))
    assert list(labels) == [0, 1, 0, 1]
    assert len(collect(splits.train)[1]) == 10


def edit(path, change):
    path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()))))


def truncate_gzip(path):
    path.write_bytes(path.read_bytes()[:-20])


def corrupt_gzip(path):
    content = bytearray(path.read_bytes())
    content[20:30] = b"\xff" * 10
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate_gzip, "Expected a whole gzip file"),
        (corrupt_gzip, "Expected a whole gzip file"),
        (lambda path: path.write_bytes(b"no gzip"), "Expected a whole gzip file"),
        (lambda path: edit(path, lambda data: data[:-1]), "Expected 240 bytes .* Received: 239"),
        (lambda path: edit(path, lambda data: data + b"1"), "Expected 240 bytes .* Received: 241"),
        (lambda path: edit(path, lambda data: data[:10]), "Expected an IDX file"),
        (lambda path: edit(path, lambda data: b"\1" + data[1:]), "Received: 0x01000803"),
        (lambda path: edit(path, lambda data: b""), "Expected an IDX file"),
    ],
)
def test_damaged_idx(idx_folder, damage, message):
    damage(idx_folder / "train-images-idx3-ubyte.gz")
    with pytest.raises(ValueError, match=rf"{message}(.|\n)*train-images-idx3-ubyte.gz"):
        kbnn.data.load("folder", directory=idx_folder)


def test_missing_idx(idx_folder):
    (idx_folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte.gz or .* Received: directory="):
        kbnn.data.load("folder", directory=idx_folder)


def test_idx_of_another_dataset(idx_folder):
    with pytest.raises(ValueError, match=r"\(28, 28, 1\) for name='mnist'.*\(4, 5, 1\)"):
        kbnn.data.load("mnist", directory=idx_folder)


def test_npz_file_and_folder_with_it(tmp_path, arrays):
    path = tmp_path / "some.npz"
    # Keras's CIFAR files have labels of shape (n, 1).
    np.savez(path, **{**arrays, "y_test": arrays["y_test"][:, np.newaxis]})
    for directory in (path, str(tmp_path)):
        images, labels = collect(
            kbnn.data.load("folder", directory=directory, normalize="none").test
        )
        assert np.array_equal(images, arrays["x_test"])
        assert np.array_equal(labels, arrays["y_test"])


def without(key):
    return lambda arrays: {name: array for name, array in arrays.items() if name != key}


def replaced(key, change):
    return lambda arrays: {**arrays, key: change(arrays[key])}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("x_test"), "Expected the arrays x_train, .* Received: "),
        (replaced("x_train", lambda x: x / 255), "Expected uint8 images .* Received: float64"),
        (replaced("x_train", lambda x: x[0, 0]), "Received: uint8 of shape"),
        (replaced("x_train", lambda x: x[:0]), r"Received: uint8 of shape \(0, 4, 5, 3\)"),
        (replaced("x_test", lambda x: x[..., :1]), r"one shape. .*\(4, 5, 3\) and \(4, 5, 1\)"),
        (replaced("y_train", lambda y: y[:-1]), r"labels of shape \(30,\).* \(29,\)"),
        (replaced("y_train", lambda y: y * 1.0), "Expected integer labels .* Received: float64"),
        (replaced("y_train", lambda y: y * 2), r"every label in 0 \.\. 4. .* 3 different"),
        (replaced("y_train", lambda y: y.astype(int) - 1), r"Received: labels in -1 \.\. 1"),
        (replaced("y_test", lambda y: y + 1), r"test labels in 0 \.\. 2. .* 1 \.\. 3"),
        (replaced("y_test", lambda y: y.astype(object)), "Expected a whole .npz file"),
    ],
)
def test_bad_npz(tmp_path, arrays, change, message):
    np.savez(tmp_path / "bad.npz", **change(arrays))
    with pytest.raises(ValueError, match=message):
        kbnn.data.load("folder", directory=tmp_path / "bad.npz")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\3\4 cut off"])
def test_file_that_is_no_npz(tmp_path, content):
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"Expected a whole \.npz(.|\n)*bad\.npz"):
        kbnn.data.load("folder", directory=path)


def test_npy_instead_of_npz(tmp_path, arrays):
    np.save(tmp_path / "x.npy", arrays["x_train"])
    with pytest.raises(ValueError, match=r"Expected a whole .npz file"):
        kbnn.data.load("folder", directory=tmp_path / "x.npy")


def test_truncated_npz(tmp_path, arrays):
    path = tmp_path / "bad.npz"
    np.savez_compressed(path, **arrays)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"Expected a whole .npz file"):
        kbnn.data.load("folder", directory=path)


def test_corrupt_npz(tmp_path, arrays):
    path = tmp_path / "bad.npz"
    np.savez_compressed(path, **arrays)
    content = bytearray(path.read_bytes())
    content[300:400] = b"\0" * 100
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"Expected a whole .npz file"):
        kbnn.data.load("folder", directory=path)


def test_folder_without_data_and_with_several(tmp_path, arrays):
    with pytest.raises(ValueError, match=r"exactly one of: .* with none of them"):
        kbnn.data.load("folder", directory=tmp_path)
    for name in ("one", "two"):
        np.savez(tmp_path / f"{name}.npz", **arrays)
    with pytest.raises(ValueError, match=r"exactly one of: .* with one\.npz, two\.npz"):
        kbnn.data.load("folder", directory=tmp_path)


def test_image_folder(image_folder):
    train, validation, test = kbnn.data.load(
        "folder", directory=image_folder, image_size=(8, 9), batch_size=3, validation=4,
        normalize="none", with_index=True,
    )  # fmt: skip
    images, labels, index = collect(train)
    assert images.shape == (8, 8, 9, 3)
    assert images.dtype == np.uint8
    assert len(validation) == 2
    assert (labels == index // 6).all()
    images, labels, _ = collect(test)
    assert list(labels) == [0, 0, 1, 1]
    # The first image of class a has the size asked for and is a png: its pixels come unchanged.
    exact = tf.io.decode_image((image_folder / "test" / "a" / "0.png").read_bytes())
    assert np.array_equal(images[0], exact.numpy())
    assert train.element_spec[0].shape.as_list() == [None, 8, 9, 3]


def test_image_folder_order_is_the_same_each_time(image_folder):
    def load():
        return kbnn.data.load(
            "folder", directory=image_folder, image_size=(8, 8), augment=True, with_index=True
        ).train

    first, second = collect(load()), collect(load())
    assert all(np.array_equal(one, two) for one, two in zip(first, second, strict=True))


def test_more_images_than_are_decoded_at_a_time_keep_their_order(image_folder):
    (image_folder / "train" / "a" / "0.png").rename(image_folder / "one.png")
    content = (image_folder / "one.png").read_bytes()
    for number in range(150):
        (image_folder / "train" / "b" / f"x{number}.png").write_bytes(content)
    options = {"directory": image_folder, "image_size": (8, 9), "with_index": True}
    train, validation, _ = kbnn.data.load("folder", validation=80, **options)
    assert (np.diff(collect(validation)[2]) > 0).all()
    # The same number of arrays with the same labels gives the order to expect.
    labels = np.repeat([0, 1], [5, 156])
    images = np.zeros((161, 8, 9, 3), np.uint8)
    np.savez(
        image_folder / "same.npz", x_train=images, y_train=labels, x_test=images, y_test=labels
    )
    options["directory"] = image_folder / "same.npz"
    same = kbnn.data.load("folder", validation=80, **options).train
    assert np.array_equal(collect(train)[2], collect(same)[2])


def test_gray_images(image_folder):
    def images(channels):
        options = {"directory": image_folder, "image_size": (8, 9), "normalize": "none"}
        return collect(kbnn.data.load("folder", channels=channels, **options).test)[0]

    gray, color = images(1), images(None)
    assert gray.shape == (4, 8, 9, 1)
    np.testing.assert_allclose(
        gray[..., 0], color @ np.array([0.2989, 0.587, 0.114]), rtol=0, atol=1.5
    )


def test_bmp_and_gif(image_folder):
    from PIL import Image

    pixels = np.zeros((8, 9, 3), np.uint8)
    pixels[..., 0] = 255
    for part in ("train", "test"):
        (image_folder / part / "c").mkdir()
        frames = [Image.fromarray(pixels), Image.fromarray(pixels[..., ::-1].copy())]
        frames[0].save(image_folder / part / "c" / "0.bmp")
        frames[0].save(image_folder / part / "c" / "1.gif", save_all=True, append_images=frames[1:])
    test = kbnn.data.load(
        "folder", directory=image_folder, image_size=(8, 9), normalize="none"
    ).test
    images, labels = collect(test)
    assert np.array_equal(images[labels == 2], [pixels, pixels])


@pytest.mark.parametrize("name", ["validation", "val"])
def test_validation_folder(image_folder, name):
    for label in ("a", "b"):
        (image_folder / name / label).mkdir(parents=True)
        content = (image_folder / "test" / label / "0.png").read_bytes()
        (image_folder / name / label / "x.png").write_bytes(content)
    options = {"directory": image_folder, "image_size": (8, 9), "with_index": True}
    train, validation, _ = kbnn.data.load("folder", **options)
    assert len(collect(train)[1]) == 12
    _, labels, index = collect(validation)
    assert list(labels) == list(index) == [0, 1]
    assert kbnn.data.load("folder", validation=0, **options).validation is None


@pytest.mark.parametrize(
    ("content", "position"),
    [(b"", 0), (b"no image", 1), (None, 0), ("truncated", 2)],
)
def test_unreadable_image_is_named(image_folder, content, position):
    path = sorted((image_folder / "test" / "b").iterdir())[0]
    good = path.read_bytes()
    if content == "truncated":
        content = good[: len(good) // 2]
    test = kbnn.data.load("folder", directory=image_folder, image_size=(8, 9), batch_size=1).test
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    iterator = iter(test)
    assert len([next(iterator) for _ in range(2)]) == 2
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"Expected an image (.|\n)*b/0\.png"):
        next(iterator)


def rename(old, new):
    return lambda folder: (folder / old).rename(folder / new)


def empty(folder):
    for path in (folder / "train" / "b").iterdir():
        path.unlink()
    (folder / "train" / "b" / "note.txt").write_text("no image")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rename("test", "other"), "train/ and test/. Received: no test/ in"),
        (rename("train", "other"), "train/ and test/. Received: no train/ in"),
        (rename("test/b", "test/c"), r"Received: missing=\['b'\], additional=\['c'\]"),
        (rename("test/b", "b"), r"Received: missing=\['b'\], additional=\[\]"),
        (empty, "Received: none in folder=.*train/b"),
        (lambda folder: [(folder / name).mkdir() for name in ("val", "validation")], "one of val"),
    ],
)
def test_bad_image_folder(image_folder, change, message):
    change(image_folder)
    with pytest.raises(ValueError, match=message):
        kbnn.data.load("folder", directory=image_folder, image_size=(8, 8))


def test_image_folder_needs_a_size_and_the_name_folder(image_folder):
    with pytest.raises(ValueError, match=r"Expected `image_size=.* Received: image_size=None"):
        kbnn.data.load("folder", directory=image_folder)
    with pytest.raises(ValueError, match=r"Expected `name='folder'` .* Received: name='cifar10'"):
        kbnn.data.load("cifar10", directory=image_folder, image_size=(32, 32))
