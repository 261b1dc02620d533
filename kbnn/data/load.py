"""Load a dataset as training, validation and test pipelines."""

import os
from typing import Literal, NamedTuple

import numpy as np
import tensorflow as tf

from kbnn import _checks
from kbnn.data import source
from kbnn.data.order import stratified_split
from kbnn.data.pipeline import Pipeline

_NORMALIZATIONS = ("pipeline", "none")
_AUGMENTATIONS = (False, True, "crop", "flip")
_LARGEST_SEED = 2**32 - 1


class Splits(NamedTuple):
    """The three datasets of `load`; `validation` is None when there is none."""

    train: tf.data.Dataset
    validation: tf.data.Dataset | None
    test: tf.data.Dataset


def load(
    name: str,
    *,
    directory: str | os.PathLike[str] | None = None,
    batch_size: int = 128,
    validation: float | int = 0.1,
    normalize: Literal["pipeline", "none"] = "pipeline",
    augment: Literal["crop", "flip"] | bool = False,
    with_index: bool = False,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    seed: int = 0,
    split_seed: int | None = None,
) -> Splits:
    """Load images and labels as batched, prefetched `tf.data` datasets.

    The data come from `directory` if given; else, for "fashion_mnist", from the Debian package
    dataset-fashion-mnist where it is installed; else from tensorflow-datasets, which downloads
    them once. "fashion_mnist_sample" is part of kbnn.

    The order of `train` and its augmentation are pure functions of `seed` and the epoch. Each new
    iteration takes the next epoch; `kbnn.callbacks.ShuffleEpoch` ties it to the epoch of `fit`,
    so that a resumed training sees what an uninterrupted one would.

    Args:
        name: "fashion_mnist", "mnist", "cifar10", "cifar100", "fashion_mnist_sample", or
            "folder" for your own data in `directory`.
        directory: A folder with IDX files (`{train,t10k}-{images-idx3,labels-idx1}-ubyte`, also
            `.gz`), or with one `.npz` (arrays `x_train`, `y_train`, `x_test`, `y_test`), or that
            `.npz` itself, or, with name="folder", a folder with `train/<class>/`, `test/<class>/`
            and perhaps `validation/<class>/` (or `val/`) of .png, .jpg, .jpeg, .bmp or .gif.
        batch_size: Images per batch; the last batch may have fewer.
        validation: What to take from the training set, stratified by label: a fraction in (0, 1)
            or a count; 0 for none. If the folder has `validation/`, that set is used for every
            value except 0. The choice of images depends only on this value and `split_seed`.
        normalize: "pipeline" gives float32 in [-1, 1]; "none" gives uint8, for a model that
            begins with `kbnn.data.normalization_layer()`.
        augment: Random changes of each training image: "crop" pads by 4 black pixels and crops
            back, "flip" mirrors half of the images left and right (which harms digits), True does
            both, False neither.
        with_index: Whether elements are `(image, label, index)`. The int64 index is the position
            in the training set before the validation split; in `test`, and in a `validation/`
            folder, the position there.
        image_size: `(height, width)` in pixels to resize to; required for image folders. None
            keeps the size.
        channels: For image folders 3 (the default) or 1, gray. For arrays None, or what they have.
        seed: Seed of the order, the augmentation and the split, in `[0, 2**32)`.
        split_seed: Seed of the split, if it differs from `seed`. Keep it when you continue to train
            a network, so that validation images stay unseen.

    Returns:
        A named tuple `(train, validation, test)`. Each element is `(image, label)`: float32 or
        uint8 `(batch, height, width, channels)`, and int64 `(batch,)`.

    Raises:
        ValueError: An argument is not valid, or a file is corrupt or has an unexpected format.
        FileNotFoundError: The data are not on this machine and could not be downloaded.
        tf.errors.InvalidArgumentError: During iteration, an image file cannot be decoded.

    Example:
        >>> import kbnn
        >>> train, validation, test = kbnn.data.load("fashion_mnist_sample", batch_size=100)
        >>> len(train), len(validation), len(test)
        (45, 5, 10)
        >>> images, labels = next(iter(train))
        >>> images.shape, images.dtype, labels.dtype
        (TensorShape([100, 28, 28, 1]), tf.float32, tf.int64)
    """
    split_seed = seed if split_seed is None else split_seed
    _checks.positive_int("batch_size", batch_size)
    _check_validation(validation)
    _checks.one_of("normalize", normalize, _NORMALIZATIONS)
    _checks.one_of("augment", augment, _AUGMENTATIONS)
    _checks.boolean("with_index", with_index)
    _checks.integer("seed", seed, least=0, most=_LARGEST_SEED)
    _checks.integer("split_seed", split_seed, least=0, most=_LARGEST_SEED)
    found = source.find(name, directory, image_size, channels)
    train = np.arange(len(found.train.labels))
    held_out = train[:0]
    if found.validation is None:
        train, held_out = stratified_split(found.train.labels, validation, split_seed)
    elif validation:
        held_out = np.arange(len(found.validation.labels))
    pipeline = Pipeline(
        batch_size=int(batch_size),
        image_size=None if image_size is None else (image_size[0], image_size[1]),
        normalized=normalize == "pipeline",
        crop=augment in (True, "crop"),
        flip=augment in (True, "flip"),
        with_index=with_index,
        seed=int(seed),
    )
    return Splits(
        pipeline.training(found.train, train),
        pipeline.evaluation(found.validation or found.train, held_out) if len(held_out) else None,
        pipeline.evaluation(found.test, np.arange(len(found.test.labels))),
    )


def _check_validation(validation: float | int) -> None:
    is_fraction = isinstance(validation, float) and 0 <= validation < 1
    is_count = _checks.is_integer(validation) and validation >= 0
    if not (is_fraction or is_count):
        expected = "a fraction in (0, 1), a count, or 0 for none"
        raise _checks.refuse("validation", expected, validation)
