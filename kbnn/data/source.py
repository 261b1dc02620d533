"""Where a dataset comes from: the user's directory, this machine, or a download."""

import os
from pathlib import Path

import numpy as np

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
    """Find and read a dataset; the arguments are those of `kbnn.data.load`.

    Raises:
        TypeError: An argument has another type.
        ValueError: An argument has an unknown value, or a file is not what it should be.
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
    found = source.train.image_shape[-1]
    if channels not in (None, found):
        raise ValueError(
            f"Expected `channels` to be None, or {found}, which the images of {name} have. "
            f"Received: channels={channels}"
        )
    return source


def check_arguments(
    name: str,
    directory: str | os.PathLike[str] | None,
    image_size: tuple[int, int] | None,
    channels: int | None,
) -> None:
    """Refuse arguments that cannot be right, before any file is opened."""
    if name not in (*KNOWN, FOLDER):
        raise ValueError(
            f"Expected `name` to be one of {', '.join((*KNOWN, FOLDER))}. Received: name={name!r}"
        )
    if directory is None:
        if name == FOLDER:
            raise ValueError(
                "Expected `directory` to be given with name='folder'. Received: directory=None"
            )
    elif not isinstance(directory, str | os.PathLike):
        raise TypeError(
            f"Expected `directory` to be a path or None. Received: directory={directory!r}"
        )
    elif not Path(directory).exists():
        raise ValueError(
            "Expected `directory` to be an existing folder or .npz file. "
            f"Received: directory={str(directory)!r}"
        )
    elif name == SAMPLE:
        raise ValueError(
            f"Expected `directory` to be None with name={SAMPLE!r}, which is part of kbnn "
            f"(name='folder' takes data of your own). Received: directory={str(directory)!r}"
        )
    if image_size is not None and not (
        isinstance(image_size, tuple | list)
        and len(image_size) == 2
        and all(isinstance(size, int) and size > 0 for size in image_size)
    ):
        raise ValueError(
            "Expected `image_size` to be None or (height, width) in pixels, two positive integers. "
            f"Received: image_size={image_size!r}"
        )
    if channels not in (None, 1, 3) or isinstance(channels, bool):
        raise ValueError(f"Expected `channels` to be None, 1 or 3. Received: channels={channels!r}")


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
