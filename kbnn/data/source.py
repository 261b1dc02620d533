"""Where a dataset comes from: the user's directory, this machine, or a download."""

import os
from pathlib import Path

import numpy as np

from kbnn import _checks
from kbnn.data.array_files import has_idx, read_idx_folder, read_npz
from kbnn.data.data_info import KNOWN
from kbnn.data.downloads import download
from kbnn.data.examples import ArrayExamples, Source
from kbnn.data.image_folder import has_image_folder, list_image_folder

FOLDER = "folder"
SAMPLE = "fashion_mnist_sample"
# Where the Debian package dataset-fashion-mnist puts its files.
DEBIAN_FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
_SAMPLE_FILE = Path(__file__).with_name("fashion_mnist_sample.npz")


def find(
    name: str,
    directory: str | os.PathLike[str] | None,
    image_size: tuple[int, int] | None,
    channels: int | None,
) -> Source:
    """Find and read a dataset; `kbnn.data.load` describes the arguments.

    Raises:
        ValueError: An argument is not valid, or a file is not what it should be.
        FileNotFoundError: There is no directory, and the dataset could not be downloaded.
    """
    check_arguments(name, directory, image_size, channels)
    if directory is not None:
        source = _from_directory(name, Path(directory), image_size, channels)
    elif name == SAMPLE:
        source = _as_source(name, *read_npz(_SAMPLE_FILE))
    elif name == "fashion_mnist" and has_idx(DEBIAN_FASHION_MNIST):
        source = _as_source(name, *read_idx_folder(DEBIAN_FASHION_MNIST))
    else:
        source = _as_source(name, *_download(name))
    check_channels(channels, source.train.image_shape[-1], name)
    return source


def check_arguments(
    name: str,
    directory: str | os.PathLike[str] | None,
    image_size: tuple[int, int] | None,
    channels: int | None,
) -> None:
    """Refuse arguments that cannot be right, before any file is opened."""
    if name not in (*KNOWN, FOLDER):
        raise _checks.refuse("name", f"one of {', '.join((*KNOWN, FOLDER))}", name)
    if directory is None:
        if name == FOLDER:
            raise ValueError(
                "Expected `directory` to be given with name='folder'. Received: directory=None"
            )
    elif not isinstance(directory, str | os.PathLike):
        raise _checks.refuse("directory", "a path or None", directory)
    elif not os.path.exists(directory):
        raise _checks.refuse("directory", "an existing folder or .npz file", str(directory))
    elif name == SAMPLE:
        raise ValueError(
            f"Expected `directory` to be None with name={SAMPLE!r}, which is part of kbnn "
            f"(name='folder' takes data of your own). Received: directory={str(directory)!r}"
        )
    if image_size is not None and not (
        isinstance(image_size, tuple | list)
        and len(image_size) == 2
        and all(_checks.is_integer(size) and size > 0 for size in image_size)
    ):
        expected = "None or (height, width) in pixels, two positive integers"
        raise _checks.refuse("image_size", expected, image_size)
    _checks.one_of("channels", channels, (None, 1, 3))


def check_channels(channels: int | None, found: int, name: str) -> None:
    """Raise ValueError unless `channels` is None or the number that a dataset's images have."""
    if channels not in (None, found):
        expected = f"None, or {found}, which the images of {name} have"
        raise _checks.refuse("channels", expected, channels)


def _from_directory(
    name: str, directory: Path, image_size: tuple[int, int] | None, channels: int | None
) -> Source:
    if directory.is_file():
        return _as_source(name, *read_npz(directory))
    archives = sorted(directory.glob("*.npz"))
    forms = [has_idx(directory), bool(archives), has_image_folder(directory)]
    if sum(forms) != 1 or len(archives) > 1:
        received = [path.name for path in archives]
        received += ["IDX files"] * forms[0] + ["image folders"] * forms[2]
        raise ValueError(
            "Expected `directory` to hold exactly one of: IDX files "
            "({train,t10k}-{images-idx3,labels-idx1}-ubyte[.gz]), one .npz file (x_train, "
            "y_train, x_test, y_test), or image folders (train/<class>/, test/<class>/). "
            f"Received: directory={str(directory)!r} with {', '.join(received) or 'none of them'}"
        )
    if has_idx(directory):
        return _as_source(name, *read_idx_folder(directory))
    if archives:
        return _as_source(name, *read_npz(archives[0]))
    if name != FOLDER:
        raise ValueError(
            "Expected `name='folder'` for image folders: the order of their classes is the order "
            f"of the folder names. Received: name={name!r}, directory={str(directory)!r}"
        )
    if image_size is None:
        raise ValueError(
            "Expected `image_size=(height, width)`, in pixels, for image folders. "
            "Received: image_size=None"
        )
    height, width = image_size
    return list_image_folder(directory, (height, width), channels or 3)


def _download(name: str) -> tuple[ArrayExamples, ArrayExamples]:
    try:
        return download(name)
    # Network, disk, checksum, package: whatever failed, the remedies are the same.
    except Exception as error:
        debian = (
            "\n  - on Debian and Ubuntu, install the package dataset-fashion-mnist;"
            if name == "fashion_mnist"
            else ""
        )
        raise FileNotFoundError(
            f"Expected the data of {name} on this machine, or a download. Received: "
            f"{type(error).__name__}: {error}\nDo one of these:\n"
            "  - give directory=, a folder with the four IDX files, or an .npz file with x_train, "
            f"y_train, x_test and y_test;{debian}\n"
            '  - run `pip install "kbnn[tfds]"`, and have a network for the first use;\n'
            '  - use the bundled "fashion_mnist_sample".'
        ) from error


def _as_source(name: str, train: ArrayExamples, test: ArrayExamples) -> Source:
    """Check arrays against what is known of the dataset, or against each other."""
    info = KNOWN.get(name)
    if info and train.image_shape != info.input_shape:
        raise ValueError(
            f"Expected images of shape {info.input_shape} for name={name!r} (name='folder' takes "
            f"data of your own). Received: images of shape {train.image_shape}"
        )
    if train.image_shape != test.image_shape:
        raise ValueError(
            "Expected training and test images of one shape. "
            f"Received: {train.image_shape} and {test.image_shape}"
        )
    classes = info.classes if info else int(train.labels.max()) + 1
    for kind, labels in (("training", train.labels), ("test", test.labels)):
        if labels.min() < 0 or labels.max() >= classes:
            raise ValueError(
                f"Expected {kind} labels in 0 .. {classes - 1}. "
                f"Received: labels in {labels.min()} .. {labels.max()}"
            )
    if not info and len(np.unique(train.labels)) != classes:
        raise ValueError(
            f"Expected training images of every label in 0 .. {classes - 1}. "
            f"Received: {len(np.unique(train.labels))} different labels"
        )
    names = info.class_names if info else tuple(str(label) for label in range(classes))
    return Source(train, test, None, names)
