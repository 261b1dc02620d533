"""Folders of images, one subfolder per class."""

import os
from pathlib import Path

import numpy as np

from kbnn.data.examples import FileExamples, Source

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif")


def has_image_folder(directory: Path) -> bool:
    """Whether `directory` looks like one that `list_image_folder` lists."""
    return (directory / "train").is_dir() or (directory / "test").is_dir()


def list_image_folder(directory: Path, image_size: tuple[int, int], channels: int) -> Source:
    """List `train/<class>/*`, `test/<class>/*` and, where present, `validation/` or `val/`.

    Nothing is decoded here. Classes and files are sorted by name. Files whose names do not end
    in .png, .jpg, .jpeg, .bmp or .gif are passed over.

    Raises:
        ValueError: A folder is missing or has no images, or the classes differ.
    """
    validations = [name for name in ("validation", "val") if (directory / name).is_dir()]
    if len(validations) == 2:
        raise ValueError(
            "Expected `directory` to hold one of validation/ and val/. "
            f"Received: both in directory={str(directory)!r}"
        )
    for name in ("train", "test"):
        if not (directory / name).is_dir():
            raise ValueError(
                f"Expected `directory` to hold the image folders train/ and test/. "
                f"Received: no {name}/ in directory={str(directory)!r}"
            )
    classes = _classes(directory / "train")
    sets = {
        name: _list_set(directory / name, classes, image_size, channels)
        for name in ("train", "test", *validations)
    }
    validation = sets[validations[0]] if validations else None
    return Source(sets["train"], sets["test"], validation, tuple(classes))


def _classes(folder: Path) -> list[str]:
    classes = sorted(
        entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != "."
    )
    if not classes:
        raise ValueError(
            f"Expected a folder for each class. Received: none in folder={str(folder)!r}"
        )
    return classes


def _list_set(
    folder: Path, classes: list[str], image_size: tuple[int, int], channels: int
) -> FileExamples:
    found = _classes(folder)
    if found != classes:
        raise ValueError(
            f"Expected {folder} to have the classes of train/. Received: "
            f"missing={sorted(set(classes) - set(found))}, "
            f"additional={sorted(set(found) - set(classes))}"
        )
    paths: list[str] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        files = sorted(
            entry.path
            for entry in os.scandir(folder / name)
            if entry.name[0] != "." and entry.name.lower().endswith(_SUFFIXES) and entry.is_file()
        )
        if not files:
            raise ValueError(
                f"Expected images ({', '.join(_SUFFIXES)}) of every class. "
                f"Received: none in folder={str(folder / name)!r}"
            )
        paths += files
        labels += [label] * len(files)
    return FileExamples(paths, np.array(labels, np.int64), image_size, channels)
