"""Facts about a dataset for those who build the model."""

import os

from kbnn.data import source
from kbnn.data.data_info import KNOWN, DataInfo


def describe(
    name: str,
    *,
    directory: str | os.PathLike[str] | None = None,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
) -> DataInfo:
    """Say what `kbnn.data.load` gives for these arguments: image shape, classes, sizes.

    A named dataset without `directory` is answered from what is known of it; nothing is read or
    downloaded. With `directory` the files are looked at: arrays are read, folders listed.

    Args:
        name: As in `load`.
        directory: As in `load`.
        image_size: As in `load`.
        channels: As in `load`.

    Returns:
        A `DataInfo`. Its `train_size` counts the images before a validation split is taken.

    Raises:
        ValueError, FileNotFoundError: As in `load`.

    Example:
        >>> import kbnn
        >>> info = kbnn.data.describe("fashion_mnist_sample")
        >>> info.input_shape, info.classes, info.class_names[9], info.train_size
        ((28, 28, 1), 10, 'Ankle boot', 5000)
    """
    source.check_arguments(name, directory, image_size, channels)
    if directory is None:
        info = KNOWN[name]
        source.check_channels(channels, info.input_shape[-1], name)
    else:
        found = source.find(name, directory, image_size, channels)
        info = DataInfo(
            name,
            found.train.image_shape,
            len(found.class_names),
            found.class_names,
            len(found.train.labels),
            len(found.test.labels),
        )
    if image_size is None:
        return info
    height, width = image_size
    return info._replace(input_shape=(height, width, info.input_shape[-1]))
