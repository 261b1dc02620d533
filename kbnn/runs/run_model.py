"""What a training run trains: its data, its model, and the trainer and optimizer of that."""

import pathlib
from typing import Any

import tensorflow as tf
import tf_keras as keras

from kbnn import data
from kbnn.runs import model_source
from kbnn.runs.errors import InputError
from kbnn.runs.run_choices import ENDS, MODELS
from kbnn.runs.run_config import RunConfig
from kbnn.runs.run_teacher import load_teacher
from kbnn.techniques.contrastive.contrastable_layers import contrastable_layers
from kbnn.techniques.contrastive.with_contrast import with_contrast
from kbnn.techniques.distillation.distillation_trainer import DistillationTrainer
from kbnn.techniques.latent_weights.latent_gradient_trainer import LatentGradientTrainer
from kbnn.techniques.latent_weights.latent_mixture_trainer import LatentMixtureTrainer
from kbnn.techniques.latent_weights.latent_weight_trainer import LatentWeightTrainer
from kbnn.training.requantize import requantize
from kbnn.training.trainer import Trainer

_MOMENTUM = 0.9
# The command line's names in those of kbnn.data.load.
_AUGMENT: dict[str, Any] = {"none": False, "crop": "crop", "flip": "flip", "both": True}


def load_data(config: RunConfig) -> data.Splits:
    """The datasets of a run; training images with their index, if its trainer wants it."""
    splits = data.load(
        config.data,
        directory=config.data_dir,
        image_size=config.image_size,
        batch_size=config.batch_size,
        validation=config.validation,
        normalize=config.normalize,
        augment=_AUGMENT[config.augment],
        seed=config.seed,
        split_seed=config.split,
        with_index=is_indexed(config),
    )
    if not is_indexed(config):
        return splits
    evaluated = [None if part is None else part.map(_without_index) for part in splits[1:]]
    return data.Splits(splits.train, *evaluated)


def is_indexed(config: RunConfig) -> bool:
    """Whether a run's trainer takes the positions of training images in their data set."""
    return config.contrast == "bank"


def _without_index(images: tf.Tensor, labels: tf.Tensor, _: tf.Tensor) -> tuple[Any, Any]:
    return images, labels


def build_model(config: RunConfig) -> keras.Model:
    """The model of a run, with fresh weights or those that it goes on with; it gives logits."""
    if config.pretrained is not None:
        return _pretrained(config)
    info = data.describe(config.data, directory=config.data_dir, image_size=config.image_size)
    inside = config.preprocessing == "inside"
    return MODELS[config.model](
        input_shape=info.input_shape,
        classes=info.classes,
        width=config.width,
        **_quantizers(config),
        normalization=config.normalization,
        kernel_initializer=_initializer(config.kernel_scale),
        kernel_constraint=_none(config.kernel_constraint),
        preprocessing=data.normalization_layer() if inside else None,
        classifier_activation=None,
        **{name: True for name in ENDS if getattr(config, name)},  # chains alone have them
    )


def _pretrained(config: RunConfig) -> keras.Model:
    """The network of another run, with the quantizers that this one has."""
    source = model_source.load_run(pathlib.Path(config.pretrained or ""), config.pretrained_sha256)
    info = data.describe(config.data, directory=config.data_dir, image_size=config.image_size)
    expected = ((None, *info.input_shape), (None, info.classes))
    received = (source.model.input_shape, source.model.output_shape)
    if received != expected:
        raise InputError(
            f"Expected a network for the images and classes of {config.data}, {expected}. "
            f"Received: one for {received} in {config.pretrained}"
        )
    changed = {
        name: quantizer
        for name, quantizer in _quantizers(config).items()
        if getattr(config, name) != getattr(source.config, name)
        or (name == "kernel_quantizer" and config.learned != source.config.learned)
    }
    return requantize(source.model, **changed) if changed else source.model


def _quantizers(config: RunConfig) -> dict[str, Any]:
    learned = config.kernel_quantizer == "learned_sign"
    return {
        "input_quantizer": _none(config.input_quantizer),
        "kernel_quantizer": config.learned_sign() if learned else _none(config.kernel_quantizer),
    }


def with_terms(model: keras.Model, config: RunConfig) -> keras.Model:
    """A run's model as it is trained: itself, or a copy that has contrastive terms."""
    if config.contrast == "none":
        return model
    rows = None
    if config.contrast == "bank":
        rows = data.describe(
            config.data, directory=config.data_dir, image_size=config.image_size
        ).train_size
    taps, names = config.contrast_taps or "", contrastable_layers(model)
    is_names = taps not in ("last", "all")
    if is_names and not set(taps.split(",")) <= set(names):
        raise InputError(
            f"Expected --contrast-taps to be last, all, or of {', '.join(names)}. Received: {taps}"
        )
    layers = taps.split(",") if is_names else taps
    try:
        return with_contrast(model, layers, **config.contrast_options(rows))
    except ValueError as error:
        raise InputError(str(error).replace("`decay`", "--contrast-decay")) from error


def trainer_of(model: keras.Model, config: RunConfig, steps: int) -> keras.Model:
    """What `fit` is called on, for `steps`: the model, or a trainer of it."""
    with_index = is_indexed(config)
    if config.teacher is not None:
        return DistillationTrainer(
            model, load_teacher(config), config.supervision(steps), with_index=with_index
        )
    if config.latent == "twin":
        return LatentWeightTrainer(
            model,
            config.supervision(steps),
            share=config.shared,
            balance_gradient=bool(config.balance_gradient),
            with_index=with_index,
        )
    if config.latent == "mixture":
        return LatentMixtureTrainer(
            model, config.until_end_of_latent(0.0, 1.0, steps), with_index=with_index
        )
    if config.latent == "gradient":
        weight = config.until_end_of_latent(config.gradient_weight, 0.0, steps)
        return LatentGradientTrainer(model, weight, with_index=with_index)
    # It hands labels and indices to the terms.
    return model if config.contrast == "none" else Trainer(model, with_index=with_index)


def compile_model(model: keras.Model, config: RunConfig, steps: int) -> None:
    """Give the model of a run its optimizer, whose schedule takes `steps`, loss and metrics."""
    model.compile(
        _optimizer(config, steps),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )


def _optimizer(config: RunConfig, steps: int) -> keras.optimizers.Optimizer:
    rate: Any = config.learning_rate
    if config.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    if config.optimizer == "adam":
        return keras.optimizers.Adam(rate, global_clipnorm=config.clip_norm)
    return keras.optimizers.SGD(rate, momentum=_MOMENTUM, global_clipnorm=config.clip_norm)


def _initializer(scale: float) -> keras.initializers.Initializer:
    """Glorot's uniform one, its values times `scale`."""
    return keras.initializers.VarianceScaling(scale**2, "fan_avg", "uniform")


def _none(name: str) -> str | None:
    return None if name == "none" else name
