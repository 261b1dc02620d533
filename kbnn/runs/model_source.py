"""Finds and loads the model that a command is given, and the data to check it on."""

import os
import pathlib
from typing import NamedTuple

import tensorflow as tf
import tf_keras as keras

from kbnn import data
from kbnn.runs.errors import InputError, input_errors
from kbnn.runs.folder import RunFolder
from kbnn.runs.run_config import RunConfig
from kbnn.training.load_model import load_model


class ModelSource(NamedTuple):
    """A model, where it came from, and, if it came from a run, its settings."""

    model: keras.Model
    path: pathlib.Path
    config: RunConfig | None


def load(path: pathlib.Path, *, best: bool = False) -> ModelSource:
    """Load the model of a run folder, or of a `.keras`, `.h5` or SavedModel.

    Nothing is unpickled, and a `.keras` or `.h5` file may name modules of Keras, Larq and kbnn
    only. A SavedModel holds a TensorFlow graph, which can do what a program can.

    Raises:
        InputError: there is no model there, or none that can be loaded.
    """
    if not os.path.exists(path):
        raise InputError(f"Expected a run folder or a model file. Received: {path}, not found")
    if (path / "config.json").is_file():
        run = RunFolder(path)
        config = run.config()
        file = run.best_file if best else run.model_file
        if not file.exists():
            raise InputError(
                f"Expected {file}. Received: a run without it: "
                + (
                    "it had no validation images, or no epoch has ended."
                    if best
                    else f"finish it with `kbnn train --resume --run {path}`."
                )
            )
        return ModelSource(_load(file), file, config)
    if best:
        raise InputError(f"Expected the folder of a run with --best. Received: {path}")
    return ModelSource(_load(path), path, None)


def load_data(source: ModelSource, name: str | None, data_dir: pathlib.Path | None) -> data.Splits:
    """The images for a model: the data that the user names, or its run's.

    Raises:
        InputError: no data is named, or it cannot be used with the model.
    """
    config = source.config
    name, data_dir = _name_and_directory(source, name, data_dir)
    if name is None:
        raise InputError(
            "Expected --data NAME, the data to calibrate and verify on. Received: a model that "
            "is not in a run folder, and no --data."
        )
    shape = source.model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4:
        raise InputError(f"Expected a model with one image input. Received: input shape {shape}")
    uint8 = source.model.inputs[0].dtype == tf.uint8
    with input_errors():
        # Image folders are read at a size, arrays have one.
        wants_size = name == "folder" and None not in shape[1:3]
        splits = data.load(
            name,
            directory=data_dir,
            image_size=shape[1:3] if wants_size else None,
            channels=shape[3] if wants_size and shape[3] in (1, 3) else None,
            # What the run held out takes no part in a calibration.
            validation=config.data.validation if config and name == config.data.dataset else 0,
            split_seed=config.split_seed if config else 0,
            normalize="none" if uint8 else "pipeline",
        )
    images = splits.test.element_spec[0].shape
    if not images.is_compatible_with(shape):
        raise InputError(
            f"Expected images of shape {shape[1:]}, as the model takes. "
            f"Received: {tuple(images[1:])} in {name}"
        )
    return splits


def class_names(
    source: ModelSource, name: str | None, data_dir: pathlib.Path | None
) -> tuple[str, ...] | None:
    """What the classes of a model's data are called; None where no data are named.

    Raises:
        InputError: the data cannot be looked at.
    """
    name, data_dir = _name_and_directory(source, name, data_dir)
    if name is None:
        return None
    shape = source.model.input_shape
    with input_errors():
        found = data.describe(
            name,
            directory=data_dir,
            image_size=shape[1:3] if name == "folder" and None not in shape[1:3] else None,
        )
    return found.class_names


def _name_and_directory(
    source: ModelSource, name: str | None, data_dir: pathlib.Path | None
) -> tuple[str | None, pathlib.Path | None]:
    """The data that the user names, or the run's."""
    if name is None and source.config is not None:
        name = source.config.data.dataset
        if data_dir is None and source.config.data.directory is not None:
            data_dir = pathlib.Path(source.config.data.directory)
    return name, data_dir


def _load(path: pathlib.Path) -> keras.Model:
    with input_errors():
        return load_model(path)
