"""The settings of a run's data."""

import dataclasses
import os
from typing import Any

import tensorflow as tf

from kbnn import data
from kbnn._settings import Settings, document_settings, setting

# `kbnn.data.load`'s values of `augment`.
_AUGMENT: dict[str, Any] = {"none": False, "crop": "crop", "flip": "flip", "both": True}


@document_settings
@dataclasses.dataclass(frozen=True)
class Data(Settings):
    """The images that a run trains on, as `kbnn.data.load` takes them.

    Args:
        {settings}

    Raises:
        ValueError: A value is not valid.
    """

    dataset: str = setting(
        help="name of the data: fashion_mnist, mnist, cifar10, cifar100, fashion_mnist_sample "
        '(part of kbnn), or "folder" for your own data',
        flag="--data",
        form="NAME",
    )
    directory: str | None = setting(
        None,
        "an .npz file, or the folder that contains it, IDX files or image folders",
        unset="kbnn finds the data by their name",
        flag="--data-dir",
        form="PATH",
        is_place=True,
    )
    image_size: tuple[int, int] | None = setting(
        None,
        "size to which images are resized; required for image folders",
        least=1,
        unset="the size of the images",
        flag="--image-size",
        form="HEIGHTxWIDTH",
    )
    batch_size: int = setting(128, "images per step", least=1, flag="--batch-size")
    validation: float | int = setting(
        0.1,
        "training images that are held out: a fraction, a count, or 0",
        least=0,
        flag="--validation",
    )
    augment: str = setting(
        "none", "random changes to training images", choices=tuple(_AUGMENT), flag="--augment"
    )
    split_seed: int | None = setting(
        None,
        "seed that chooses the held-out images; a run with a teacher, or with the network of "
        "another run, must hold out the same images as the other run",
        least=0,
        most=2**32 - 1,
        unset="the seed of the run",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.directory is not None:
            self._keep("directory", os.path.abspath(self.directory))

    def describe(self) -> data.DataInfo:
        """Facts about the data that a model builder needs."""
        return data.describe(self.dataset, directory=self.directory, image_size=self.image_size)

    def load(self, seed: int, split_seed: int, normalize: Any, with_index: bool) -> data.Splits:
        """Load the data; with `with_index`, training elements are `(image, label, index)`."""
        splits = data.load(
            self.dataset,
            directory=self.directory,
            image_size=self.image_size,
            batch_size=self.batch_size,
            validation=self.validation,
            normalize=normalize,
            augment=_AUGMENT[self.augment],
            seed=seed,
            split_seed=split_seed,
            with_index=with_index,
        )
        if not with_index:
            return splits
        evaluated = [None if part is None else part.map(_without_index) for part in splits[1:]]
        return data.Splits(splits.train, *evaluated)


def _without_index(images: tf.Tensor, labels: tf.Tensor, _: tf.Tensor) -> tuple[Any, Any]:
    return images, labels
