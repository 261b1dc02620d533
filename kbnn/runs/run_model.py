"""What a training run trains: its data and its model."""

import dataclasses
import pathlib
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn import data
from kbnn._settings.values import text_of
from kbnn.runs.folder import RunFolder
from kbnn.runs.network import QUANTIZERS
from kbnn.runs.run_config import RunConfig
from kbnn.techniques.trained_run import TrainedRun
from kbnn.training.copy_weights import copy_weights

# What a network has for good. Its other settings may change where a run goes on with it.
_FIXED = ("architecture", "width", "preprocessing", "binary_stem", "binary_classifier")
# Settings that change no layer with weights.
_SAME_LAYERS = (*QUANTIZERS, "normalization", "kernel_constraint", "kernel_scale", "pretrained")


@dataclasses.dataclass(frozen=True)
class PreparedModel:
    """The model of a run, and the model with what only training needs.

    Attributes:
        model: What ships.
        prepared: The model itself, or a copy to which techniques have added layers.
        shipped_weights: The weights of `prepared` that belong to `model`, in its order.
    """

    model: keras.Model
    prepared: keras.Model
    shipped_weights: list[tf.Variable]


def load_data(config: RunConfig) -> data.Splits:
    """The datasets of a run."""
    return config.data.load(
        seed=config.fit.seed,
        split_seed=config.split_seed,
        normalize="none" if config.network.preprocessing == "inside" else "pipeline",
        with_index=any(technique.with_index for technique in config.techniques),
    )


def build_model(config: RunConfig) -> keras.Model:
    """The model of a run, with new weights or the weights of a finished run; it outputs logits."""
    network = config.network
    if network.pretrained is None:
        return network.build(config.data.describe(), config.builder_arguments())
    return _build_from(config, network.pretrained)


def prepare(config: RunConfig, model: keras.Model) -> PreparedModel:
    """Apply the techniques of a run to its model."""
    info = config.data.describe()
    prepared = model
    for technique in config.techniques:
        if not technique.builder_arguments():
            prepared = technique.prepare(prepared, info)
    added = {
        id(weight)
        for layer in prepared.submodules
        if any(technique.is_only_for_training(layer) for technique in config.techniques)
        for weight in layer.weights
    }
    shipped = [weight for weight in prepared.weights if id(weight) not in added]
    return PreparedModel(model, prepared, shipped)


def _build_from(config: RunConfig, run: TrainedRun) -> keras.Model:
    """The model of a run, with the weights of another run's network."""
    trained = run.load()
    info = config.data.describe()
    expected = ((None, *info.input_shape), (None, info.classes))
    received = (trained.input_shape, trained.output_shape)
    if received != expected:
        raise ValueError(
            f"Expected a network for the images and classes of {config.data.dataset}, {expected}. "
            f"Received: one for {received} in {run.directory}"
        )
    first = RunFolder(pathlib.Path(run.directory)).config()
    changed = {
        name
        for name in first.network.fields()
        if getattr(config.network, name) != getattr(first.network, name)
    }
    for name in _FIXED:
        if name in changed:
            theirs = text_of(getattr(first.network, name))
            raise ValueError(
                f"Expected `{name}` {theirs}, as the network in {run.directory} has it. "
                f"Received: {text_of(getattr(config.network, name))}"
            )
    model = config.network.build(info, config.builder_arguments())
    before = first.network.quantizers(first.builder_arguments())
    now = config.network.quantizers(config.builder_arguments())
    copy_weights(
        trained,
        model,
        same_quantizers=[
            name for name in QUANTIZERS if _settings_of(now[name]) == _settings_of(before[name])
        ],
        same_layers=changed <= set(_SAME_LAYERS),
    )
    return model


def _settings_of(quantizer: Any) -> Any:
    """A quantizer without its name, to compare."""
    if not isinstance(quantizer, keras.layers.Layer):
        return quantizer
    config = {name: value for name, value in quantizer.get_config().items() if name != "name"}
    return type(quantizer), config
