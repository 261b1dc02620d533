"""Checks of trainers that run a second network beside the model: a twin or a teacher."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tf_keras as keras

import kbnn
from tests.techniques.short_training import CLASSES, SHAPE, chain, compiled, differences, fit

# Models that every trainer can train, as functions that return them.
MODELS = {
    "requantized": lambda: kbnn.requantize(
        chain(), kernel_quantizer=kbnn.quantizers.LearnedSign(), input_quantizer="smooth_sign"
    ),
    "binary normalization": lambda: chain(
        input_quantizer="smooth_sign", kernel_quantizer="smooth_sign", normalization="binary"
    ),
    # Two stages: the second one has a shortcut that downsamples.
    "resnet": lambda: kbnn.models.resnet((1, 1), SHAPE, CLASSES, width=4),
    "reactnet": lambda: kbnn.models.resnet(
        (1, 1), SHAPE, CLASSES, width=4, downsampling="padding", reactnet=True
    ),
}


def check_training_moves_weights(trainer, data):
    """Training moves most of the model's weights, by finite losses."""
    weights = trainer.model.trainable_weights
    before = [weight.numpy() for weight in weights]
    history = fit(trainer, [array[:32] for array in data], epochs=2)
    assert np.isfinite(history["loss"]).all()
    after = [weight.numpy() for weight in trainer.model.trainable_weights]
    moved = [(a != b).any() for a, b in zip(before, after, strict=True)]
    assert sum(moved) > 0.7 * len(moved)


def check_what_ships(make_trainer, data, folder):
    """What ships after a training is the model, to the byte: nothing of the second network.

    Args:
        make_trainer: a function of a model.
        data: images and labels.
        folder: where files are written.

    Returns:
        The model.
    """
    model = chain()
    config, names = model.get_config(), [weight.name for weight in model.weights]
    trainer = compiled(make_trainer(model))
    fit(trainer, data)
    assert (model.get_config(), [weight.name for weight in model.weights]) == (config, names)
    plain = chain()
    plain.set_weights(model.get_weights())
    for network, name in ((model, "model.tflite"), (plain, "plain.tflite")):
        report = kbnn.converters.convert(network, folder / name, verify_data=data).report
        assert report.parity.class_agreement == 1.0
    assert (folder / "model.tflite").read_bytes() == (folder / "plain.tflite").read_bytes()
    trainer.save(folder / "saved.keras")
    loaded = keras.models.load_model(folder / "saved.keras")
    assert max(differences(loaded, model)) == 0.0
    return model


def check_logs(trainer, data, *, terms, epochs):
    """The losses and metrics of both networks and the terms are in the logs; returns the logs."""
    top = keras.metrics.SparseTopKCategoricalAccuracy(2, name="top_2")
    compiled(trainer, metrics=["accuracy", top])
    # The last batch is a small one.
    some = [array[:100] for array in data]
    weights = {0: 2.0, 1: 1, 2: 1}
    history = fit(trainer, some, epochs=epochs, validation_data=data, class_weight=weights)
    usual = {"loss", "accuracy", "top_2"}
    names = usual | {f"real_{name}" for name in usual} | terms
    assert set(history) == names | {f"val_{name}" for name in names}
    return history


def check_callbacks_see_the_model(trainer, data):
    """Callbacks of techniques look at the model."""
    callbacks = [
        kbnn.callbacks.SharpnessSchedule(1, 10),
        kbnn.callbacks.BinarizationMonitor(data[0][:8]),
        kbnn.callbacks.SmoothValidation(data),
    ]
    history = fit(trainer, data, validation_data=data, callbacks=callbacks)
    assert {"sharpness", "conv_2/kernel_flip_ratio", "val_smooth_accuracy"} <= set(history)


def check_interrupted_training_goes_on(make_trainer, data, folder):
    """A training that is interrupted and resumed gives the weights of an uninterrupted one."""

    def trained(callbacks):
        trainer = compiled(make_trainer())
        options = {"batch_size": 32, "epochs": 3, "verbose": 0, "shuffle": False}
        keras.utils.set_random_seed(2)
        trainer.fit(*data, callbacks=callbacks, **options)
        return trainer

    class Stop(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    whole = trained([])
    backup = [keras.callbacks.BackupAndRestore(folder / "backup")]
    with pytest.raises(KeyboardInterrupt):
        trained([*backup, Stop()])
    resumed = trained(backup)
    assert max(differences(whole, resumed)) == 0.0
    assert whole.optimizer.iterations == resumed.optimizer.iterations == 12


def check_mixed_precision(make_trainer, data):
    """A trainer learns in float16, with several steps at once."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy("mixed_float16")
    try:
        trainer = compiled(make_trainer(), steps_per_execution=2)
        history = fit(trainer, data, epochs=4)
    finally:
        keras.mixed_precision.set_global_policy(before)
    assert history["loss"][-1] < history["loss"][0]
    assert isinstance(trainer.optimizer, keras.mixed_precision.LossScaleOptimizer)


def check_two_replicas(kind):
    """One step on two replicas equals one step on their joint batch."""
    program = pathlib.Path(__file__).with_name("mirrored_supervision.py")
    result = subprocess.run(
        [sys.executable, str(program), kind], capture_output=True, text=True, timeout=300
    )
    assert result.returncode == 0, result.stderr
