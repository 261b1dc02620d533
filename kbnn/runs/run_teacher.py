"""The teacher of a training run: the network of a finished one, of the same data."""

import os
import pathlib

import tf_keras as keras

from kbnn.runs import model_source
from kbnn.runs.errors import InputError
from kbnn.runs.run_choices import option
from kbnn.runs.run_config import RunConfig


def load_teacher(config: RunConfig) -> keras.Model:
    """The network that teaches a run.

    Raises:
        InputError: it is not there any more, or another one; it was trained on other data, on
            images of another size or prepared in another way, or on images that this run holds out.
    """
    source = model_source.load_run(pathlib.Path(config.teacher or ""), config.teacher_sha256)
    teacher = source.config
    for name in ("data", "image_size", "preprocessing", "validation"):
        own, received = getattr(config, name), getattr(teacher, name)
        if own != received:
            raise InputError(
                f"Expected --teacher to be a run with this one's {option(name)}, {own}. "
                f"Received: {received} in {config.teacher}"
            )
    if config.data == "folder" and not _same_place(config.data_dir, teacher.data_dir):
        raise InputError(
            f"Expected --teacher to be a run on the data in {config.data_dir}. Received: "
            f"{teacher.data_dir} in {config.teacher}. If the data have moved, write their new "
            "place into its config.json, as data_dir."
        )
    if config.validation and config.split != teacher.split:
        raise InputError(
            "Expected --teacher to be a run that held out the images that this one holds out, "
            f"with the seed {config.split} of the split. Received: {teacher.split} in "
            f"{config.teacher}. It would know them."
        )
    return source.model


def _same_place(one: str | None, other: str | None) -> bool:
    return os.path.realpath(one or "") == os.path.realpath(other or "")
