"""Finds and loads the model that a command is given, and the data to check it on."""

import hashlib
import json
import pathlib
import zipfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import h5py
import tensorflow as tf
import tf_keras as keras
from tf_keras.src.saving.serialization_lib import SafeModeScope

from kbnn import data
from kbnn.runs.errors import InputError, input_errors
from kbnn.runs.folder import RunFolder
from kbnn.runs.run_config import RunConfig

# A file names the modules of its layers, and Keras imports them: these alone.
_MODULES = ("builtins", "kbnn", "keras", "larq", "tf_keras")


class ModelSource(NamedTuple):
    """A model, where it came from, and, if it came from a run, its settings."""

    model: keras.Model
    path: pathlib.Path
    config: RunConfig | None


class RunSource(NamedTuple):
    """The network of a run, and its settings."""

    model: keras.Model
    config: RunConfig


def load(path: pathlib.Path, *, best: bool = False) -> ModelSource:
    """Load the model of a run folder, or of a `.keras`, `.h5` or SavedModel.

    Nothing is unpickled, and a `.keras` or `.h5` file may name modules of Keras, Larq and kbnn
    only. A SavedModel holds a TensorFlow graph, which can do what a program can.

    Raises:
        InputError: there is no model there, or none that can be loaded.
    """
    if not path.exists():
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
        return ModelSource(_load_model(file), file, config)
    if best:
        raise InputError(f"Expected the folder of a run with --best. Received: {path}")
    return ModelSource(_load_model(path), path, None)


def load_run(path: pathlib.Path, sha256: str | None) -> RunSource:
    """Load the network that a run began with, of another run.

    Raises:
        InputError: there is no finished run any more, or one whose network has another checksum.
    """
    source = load(path)
    if source.config is None or _sha256(source.path) != sha256:
        raise InputError(
            f"Expected {path} to hold the run that this one began with. "
            "Received: another model.keras, or no config.json"
        )
    return RunSource(source.model, source.config)


def load_data(source: ModelSource, name: str | None, directory: pathlib.Path | None) -> data.Splits:
    """The images for a model: those of its run, or the ones named.

    Raises:
        InputError: no data is named, or it cannot be used with the model.
    """
    config = source.config
    name, directory = _named(source, name, directory)
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
            directory=directory,
            image_size=shape[1:3] if wants_size else None,
            channels=shape[3] if wants_size and shape[3] in (1, 3) else None,
            # What the run held out takes no part in a calibration.
            validation=config.validation if config and name == config.data else 0,
            split_seed=config.split if config else 0,
            normalize="none" if uint8 else "pipeline",
        )
    images = splits.test.element_spec[0].shape
    if not images.is_compatible_with(shape):
        raise InputError(
            f"Expected images of shape {shape[1:]}, as the model takes. "
            f"Received: {tuple(images[1:])} in {name}"
        )
    return splits


def _sha256(file: pathlib.Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def class_names(
    source: ModelSource, name: str | None, directory: pathlib.Path | None
) -> tuple[str, ...] | None:
    """What the classes of a model's data are called; None where no data are named.

    Raises:
        InputError: the data cannot be looked at.
    """
    name, directory = _named(source, name, directory)
    if name is None:
        return None
    shape = source.model.input_shape
    with input_errors():
        found = data.describe(
            name,
            directory=directory,
            image_size=shape[1:3] if name == "folder" and None not in shape[1:3] else None,
        )
    return found.class_names


def _named(
    source: ModelSource, name: str | None, directory: pathlib.Path | None
) -> tuple[str | None, pathlib.Path | None]:
    """The data that the user names, or those of the run."""
    if name is None and source.config is not None:
        name = source.config.data
        if directory is None and source.config.data_dir is not None:
            directory = pathlib.Path(source.config.data_dir)
    return name, directory


def _load_model(path: pathlib.Path) -> keras.Model:
    if path.is_dir() and not (path / "saved_model.pb").is_file():
        raise InputError(
            "Expected a run folder (with config.json) or a SavedModel (with saved_model.pb). "
            f"Received: {path}, which is neither."
        )
    if path.is_file() and path.suffix not in (".keras", ".h5", ".hdf5"):
        raise InputError(f"Expected a .keras or .h5 file. Received: {path}")
    try:
        if path.is_file():
            _check_modules(_config(path))
        # load_model's own safe_mode does not reach .h5 and SavedModel.
        with SafeModeScope(True):
            return keras.models.load_model(str(path), compile=False)
    except InputError:
        raise
    except Exception as error:  # whatever a broken file makes the readers raise
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            "Expected a model of Keras 2 whose layers are of Keras, Larq or kbnn. "
            f"Received: {path}, which cannot be loaded: {reason[0]}"
        ) from error


def _config(path: pathlib.Path) -> Any:
    """The model's configuration, as plain JSON."""
    if path.suffix == ".keras":
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("config.json"))
    with h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            raise ValueError("it holds no model, perhaps weights alone")
        return json.loads(file.attrs["model_config"])


def _check_modules(config: Any) -> None:
    foreign = sorted(
        {module for module in _modules(config) if module.split(".")[0] not in _MODULES}
    )
    if foreign:
        raise ValueError(
            f"it needs the modules {', '.join(foreign)}, which this command does not import; load "
            "it in Python and call kbnn.converters there"
        )


def _modules(config: Any) -> Iterator[str]:
    if isinstance(config, dict):
        if isinstance(config.get("module"), str):
            yield config["module"]
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from _modules(value)
