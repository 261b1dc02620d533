"""Training runs with latent weights."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

import kbnn
from kbnn.graph.roles import ROLES
from kbnn.runs.folder import RunFolder
from kbnn.techniques import FeatureContrast, Gradient, LatentWeights, Mixture, Twin

METHOD = ("--method", "latent-weights")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--set", "feature_weight=0.5"], {"real_accuracy"}),
        (["--set", "until=0.5", "--set", "share=none"], {"real_accuracy"}),
        (["--set", "way=gradient", "--method", "self-binarizing"], {"val_smooth_accuracy"}),
        (["--set", "way=mixture"], {"binary_share"}),
    ],
)
def test_latent_weights_train_and_the_network_alone_ships(
    run_kbnn, settings, tmp_path, options, names
):
    folder = RunFolder(tmp_path / "run")
    process = run_kbnn("train", *settings(epochs=2), *METHOD, *options, "--run", folder.path)
    assert process.returncode == 0, process.stderr
    assert {"val_accuracy", *names} <= set(folder.log()[0])
    assert run_kbnn("convert", folder.path).returncode == 0
    model = keras.models.load_model(folder.model_file)
    assert [layer for layer in model.layers if layer.name.endswith(("_real", "_mixed"))] == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--set", "temperature=0"], "--set temperature to be a number above 0"),
        (["--set", "real_weight=-1"], "--set real_weight to be a number of at least 0"),
        (["--kernel-quantizer", "none"], "binary layer"),
        (["--set", "real_weight=0", "--set", "distillation_weight=0"], "above 0"),
        (["--set", "label_weight=-1"], "--set label_weight to be a number of at least 0"),
        (
            ["--set", "label_weight=0", "--set", "distillation_weight=0"],
            "Expected --set label_weight above 0, or a weight above 0 of a term that compares",
        ),
        (
            ["--set", "label_weight=0", "--set", "until=0.5"],
            "--set label_weight above 0 with --set until, after which only the labels train",
        ),
        (["--set", "way=mixture", "--set", "until=0"], "--set until to be a number above 0"),
        (["--set", "share=stem,end"], "names of stem, shortcuts, classifier"),
        (["--set", "share="], "to be names with commas between them"),
        (["--set", "way=gradient", "--set", "weight=-1"], "--set weight to be a number of at"),
        (["--set", "way=mixture", "--set", "temperature=2"], "way.temperature with --set way=twin"),
        (["--set", "teacher_contrast=released_code"], "to be feature_contrast or none"),
        (["--set", "way=sideways"], "--set way to be one of twin, mixture, gradient"),
    ],
)
def test_bad_options_of_latent_weights(train, tmp_path, options, message):
    command = ("--data", "fashion_mnist_sample", *METHOD, *options, "--run", tmp_path / "run")
    result = train(*command)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "run").exists()


def test_latent_weights_help_until_a_share_of_the_training():
    def made(way):
        return LatentWeights(way).trainer(kbnn.models.vgg_tiny(width=8), steps=100)

    contrast = FeatureContrast(0.6)
    twin = made(Twin(0.4, until=0.5, feature_weight=2.0, teacher_contrast=contrast))
    for term, first in zip(twin.supervision, (0.4, 0.3, 2.0, 0.6), strict=True):
        weights = [float(term.weight_at(step)) for step in (0, 25, 50, 99)]
        assert weights == pytest.approx([first, first / 2, 0, 0]), term.name
    assert float(Twin(until=0.001).terms(steps=100)[0].weight_at(1)) == 0
    mixture = made(Mixture())._schedule
    assert [float(mixture(step)) for step in (0, 15, 30, 99)] == [0.0, 0.5, 1.0, 1.0]
    gradient = made(Gradient(0.2, until=1.0))._schedule
    assert [float(gradient(step)) for step in (0, 50, 100)] == pytest.approx([0.2, 0.1, 0.0])


def test_what_the_twin_shares_and_whether_its_gradient_is_balanced():
    counts = {}
    for share in ((), ("stem",), ROLES):
        trainer = LatentWeights(Twin(share=share)).trainer(kbnn.models.vgg_tiny(width=8), 100)
        counts[share] = len(trainer.trainable_weights)
    assert counts[()] > counts[("stem",)] > counts[ROLES]
    images = np.random.default_rng(0).normal(size=(4, 28, 28, 1)).astype("float32")
    sizes = []
    for balanced in (True, False):
        keras.utils.set_random_seed(0)
        model = kbnn.models.vgg_tiny(width=8)
        trainer = LatentWeights(Twin(balance_gradient=balanced)).trainer(model, 100)
        with tf.GradientTape() as tape:
            outputs = tf.reduce_sum(trainer.twin(images)[:, 0])
        kernel = trainer.model.get_layer("conv_2").kernel
        sizes.append(np.abs(tape.gradient(outputs, kernel)).mean())
    assert sizes[0] == pytest.approx(sizes[1] * np.abs(kernel).mean(), rel=1e-3)


def test_the_weight_of_the_labels_is_that_of_the_settings():
    model = kbnn.models.vgg_tiny(width=8)
    for weight in (1.0, 0.25, 0.0):
        trainer = LatentWeights(Twin(label_weight=weight)).trainer(model, steps=100)
        assert trainer.label_weight == weight
    assert LatentWeights().trainer(model, steps=100).label_weight == 1.0


def test_the_terms_of_a_twin_are_those_of_the_settings():
    real, distillation = Twin(0.5, distillation_weight=0.2, temperature=2.0).terms(steps=100)
    assert (real.name, real.weight) == ("real_path", 0.5)
    found = (distillation.name, distillation.weight, distillation.temperature)
    assert found == ("distillation", 0.2, 2.0)


def test_settings_of_a_twin_are_checked_and_put_in_order():
    with pytest.raises(ValueError, match="`balance_gradient` to be True or False"):
        Twin(balance_gradient=1)
    one, other = Twin(share=("classifier", "stem")), Twin(share=["stem", "classifier"])
    assert one == other
    assert one.share == ("stem", "classifier")
