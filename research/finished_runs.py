"""The networks of finished runs."""

import pathlib

import tensorflow as tf
import tf_keras as keras

from kbnn.data import Splits
from kbnn.runs.folder import RunFolder
from kbnn.runs.run_model import load_data


def load(run: pathlib.Path) -> tuple[keras.Model, Splits]:
    """Load the network and the data of a run."""
    folder = RunFolder(run)
    return keras.models.load_model(folder.model_file, compile=False), load_data(folder.config())


def name(run: pathlib.Path) -> str:
    """Return the name of a run in tables: bench, arm and seed."""
    return "/".join(run.parts[-3:])


def accuracy(model: keras.Model, data: tf.data.Dataset) -> float:
    """Return the accuracy of a model."""
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return round(model.evaluate(data, verbose=0, return_dict=True)["accuracy"], 4)
