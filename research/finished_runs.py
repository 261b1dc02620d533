"""Networks of finished runs, to measure once more."""

import pathlib

import tensorflow as tf
import tf_keras as keras

from kbnn.data import Splits
from kbnn.runs.folder import RunFolder
from kbnn.runs.run_model import load_data


def load(run: pathlib.Path) -> tuple[keras.Model, Splits]:
    """A run's network and its data."""
    folder = RunFolder(run)
    return keras.models.load_model(folder.model_file, compile=False), load_data(folder.config())


def name(run: pathlib.Path) -> str:
    """A run's folder, relative to the folder of all runs: mode, experiment and seed."""
    return "/".join(run.parts[-3:])


def accuracy(model: keras.Model, data: tf.data.Dataset) -> float:
    """The share of images that a model classifies as they are labelled."""
    model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return round(model.evaluate(data, verbose=0, return_dict=True)["accuracy"], 4)
