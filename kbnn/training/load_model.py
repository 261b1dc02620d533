"""Loads a saved model that may come from others."""

import json
import pathlib
import zipfile
from collections.abc import Iterator
from typing import Any

import h5py
import tf_keras as keras
from tf_keras.src.saving.serialization_lib import SafeModeScope

# A file names the modules of its layers, and Keras imports them. No others are imported.
_MODULES = ("builtins", "kbnn", "keras", "larq", "tf_keras")


def load_model(path: pathlib.Path) -> keras.Model:
    """Load a `.keras` or `.h5` file or a SavedModel, not compiled.

    Nothing is unpickled, and a `.keras` or `.h5` file may name modules of Keras, Larq and kbnn
    only. A SavedModel holds a TensorFlow graph, which can do what a program can.

    Raises:
        ValueError: There is no model at `path`, or it cannot be loaded.
    """
    if path.is_dir() and not (path / "saved_model.pb").is_file():
        raise ValueError(
            "Expected a run folder (with config.json) or a SavedModel (with saved_model.pb). "
            f"Received: {path}, which is neither."
        )
    if path.is_file() and path.suffix not in (".keras", ".h5", ".hdf5"):
        raise ValueError(f"Expected a .keras or .h5 file. Received: {path}")
    try:
        if path.is_file():
            _check_modules(_config(path))
        # load_model's own safe_mode does not reach .h5 and SavedModel.
        with SafeModeScope(True):
            return keras.models.load_model(str(path), compile=False)
    except Exception as error:  # whatever a broken file makes the readers raise
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(
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
            raise ValueError("it holds no model, perhaps only weights")
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
