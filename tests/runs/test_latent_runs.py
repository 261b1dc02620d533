"""Training runs with latent weights."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from kbnn.runs import InputError, RunConfig
from kbnn.runs.folder import RunFolder
from kbnn.runs.run_model import build_model, trainer_of


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--method", "latent-weights", "--feature-weight", "0.5"], {"real_accuracy"}),
        (
            ["--latent", "twin", "--latent-until", "0.5", "--latent-share", "none"],
            {"real_accuracy"},
        ),
        (["--latent", "gradient", "--method", "self-binarizing"], {"val_smooth_accuracy"}),
        (["--method", "latent-weights", "--latent", "mixture"], {"binary_share"}),
    ],
)
def test_latent_weights_train_and_the_network_alone_ships(
    run_kbnn, settings, tmp_path, options, names
):
    folder = RunFolder(tmp_path / "run")
    process = run_kbnn("train", *settings(epochs=2), *options, "--run", folder.path)
    assert process.returncode == 0, process.stderr
    assert {"val_accuracy", *names} <= set(folder.log()[0])
    assert run_kbnn("convert", folder.path).returncode == 0
    model = keras.models.load_model(folder.model_file)
    assert [layer for layer in model.layers if layer.name.endswith(("_real", "_mixed"))] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--temperature", "2"], "--temperature with --latent twin or --teacher RUN alone"),
        (["--latent", "twin", "--temperature", "0"], "--temperature to be a positive"),
        (["--latent", "twin", "--real-weight", "-1"], "--real-weight to be a finite number"),
        (["--latent", "twin", "--kernel-quantizer", "none"], "--latent with a --kernel-quantizer"),
        (["--latent", "twin", "--real-weight", "0", "--distillation-weight", "0"], "above 0"),
        (["--latent-until", "0.5"], "--latent-until with --latent. Received: none"),
        (["--latent", "mixture", "--latent-until", "0"], "--latent-until to be a share"),
        (
            ["--latent", "twin", "--latent-share", "stem,end"],
            "to be of stem, shortcuts, classifier",
        ),
        (["--latent", "twin", "--latent-share", ""], "to be of stem, shortcuts, classifier"),
        (["--latent", "mixture", "--latent-share", "stem"], "with --latent twin alone"),
        (["--latent", "mixture", "--no-balance-gradient"], "with --latent twin alone"),
        (["--latent", "twin", "--gradient-weight", "1"], "with --latent gradient alone"),
        (["--latent", "gradient", "--gradient-weight", "-1"], "--gradient-weight to be a finite"),
    ],
)
def test_bad_options_of_latent_weights(run_kbnn, tmp_path, options, message):
    process = run_kbnn(
        "train", "--data", "fashion_mnist_sample", *options, "--run", tmp_path / "run"
    )
    assert process.returncode == 2
    assert message in " ".join(process.stderr.split())


def test_latent_weights_help_until_a_share_of_the_training():
    def made(**settings):
        config = RunConfig(data="fashion_mnist_sample", width=8, **settings)
        return trainer_of(build_model(config), config, steps=100)

    weights = {"real_weight": 0.4, "feature_weight": 2.0, "teacher_contrast_weight": 0.6}
    twin = made(latent="twin", latent_until=0.5, **weights)
    for term, first in zip(twin.supervision, (0.4, 0.3, 2.0, 0.6), strict=True):
        weights = [float(term.weight_at(step)) for step in (0, 25, 50, 99)]
        assert weights == pytest.approx([first, first / 2, 0, 0]), term.name
    short = RunConfig(data="fashion_mnist_sample", latent="twin", latent_until=0.001)
    assert float(short.supervision(steps=100)[0].weight_at(1)) == 0
    mixture = made(latent="mixture")._schedule
    assert [float(mixture(step)) for step in (0, 15, 30, 99)] == [0.0, 0.5, 1.0, 1.0]
    gradient = made(latent="gradient", gradient_weight=0.2, latent_until=1.0)._schedule
    assert [float(gradient(step)) for step in (0, 50, 100)] == pytest.approx([0.2, 0.1, 0.0])


def test_what_the_twin_shares_and_whether_its_gradient_is_balanced():
    counts = {}
    for share in ("none", "stem", "stem,shortcuts,classifier"):
        config = RunConfig(data="fashion_mnist_sample", width=8, latent="twin", latent_share=share)
        trainer = trainer_of(build_model(config), config, steps=100)
        counts[share] = len(trainer.trainable_weights)
    assert counts["none"] > counts["stem"] > counts["stem,shortcuts,classifier"]
    images = np.random.default_rng(0).integers(0, 256, (4, 28, 28, 1)).astype("uint8")
    sizes = []
    for balanced in (True, False):
        settings = {"latent": "twin", "balance_gradient": balanced}
        config = RunConfig(data="fashion_mnist_sample", width=8, **settings)
        keras.utils.set_random_seed(0)
        trainer = trainer_of(build_model(config), config, steps=100)
        with tf.GradientTape() as tape:
            outputs = tf.reduce_sum(trainer.twin(images)[:, 0])
        kernel = trainer.model.get_layer("conv_2").kernel
        sizes.append(np.abs(tape.gradient(outputs, kernel)).mean())
    assert sizes[0] == pytest.approx(sizes[1] * np.abs(kernel).mean(), rel=1e-3)


def test_the_terms_of_a_twin_are_those_of_the_settings():
    settings = {"real_weight": 0.5, "distillation_weight": 0.2, "temperature": 2.0}
    config = RunConfig(data="fashion_mnist_sample", latent="twin", **settings)
    real, distillation = config.supervision(steps=100)
    assert (real.name, real.weight) == ("real_path", 0.5)
    found = (distillation.name, distillation.weight, distillation.temperature)
    assert found == ("distillation", 0.2, 2.0)


def test_settings_of_a_twin_are_checked_and_put_in_order():
    def config(**settings):
        return RunConfig(data="fashion_mnist_sample", latent="twin", **settings)

    with pytest.raises(InputError, match="--balance-gradient to be True or False"):
        config(balance_gradient=1)
    one, other = (config(latent_share=names) for names in ("classifier, stem", "stem,classifier"))
    assert one == other
    assert one.digest() == other.digest()
    assert one.shared == ("stem", "classifier")
