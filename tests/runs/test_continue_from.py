"""Training runs that start from the network of another run: `kbnn train --from`."""

import pytest

from kbnn.runs import Data, Fit, Network, RunConfig, continue_from
from kbnn.runs.folder import RunFolder
from kbnn.runs.resume import config_from_texts, remarks
from kbnn.runs.run_model import build_model
from kbnn.techniques import (
    Contrastive,
    NoisySupervision,
    Random,
    Residual,
    SelfBinarizing,
)
from kbnn.techniques.trained_run import TrainedRun

SAMPLE = Data("fashion_mnist_sample")
NOISY = ("--method", "noisy-supervision")


@pytest.fixture
def finish(tmp_path):
    """A function that writes a finished run with these settings; its network is no network."""

    def finish(config, name="first"):
        folder = RunFolder(tmp_path / name)
        folder.create(config)
        folder.model_file.write_bytes(b"a network")
        return folder.path

    return finish


@pytest.mark.slow
def test_a_run_goes_on_with_the_network_of_another(run_kbnn, finished, move_first_run, tmp_path):
    first, _ = finished
    method = ("--method", "noisy-supervision", "--from", first, "--set", "noise_rate=0.2:0.1")
    run = ("train", *method, "--epochs", "2", "--seed", "5", "--run", tmp_path / "run")
    process = run_kbnn(*run)
    assert process.returncode == 0, process.stderr
    folder = RunFolder(tmp_path / "run")
    config, before = folder.config(), RunFolder(first).config()
    found = (config.data.dataset, config.network.width, config.data.augment)
    assert found == ("folder", 8, "both")
    # The images that the first one held out, in spite of another seed.
    assert (config.fit.seed, config.split_seed, before.split_seed) == (5, 3, 3)
    assert config.techniques == (NoisySupervision((0.2, 0.1)),)
    assert (config.fit.learning_rate, before.fit.learning_rate) == (0.001, 0.005)
    assert {"conv_1/kernel_disagreement", "conv_1/kernel_flips"} <= set(folder.log()[0])
    assert run_kbnn("convert", folder.path).returncode == 0
    assert run_kbnn("train", "--resume", "--run", folder.path).returncode == 0  # finished
    move_first_run(folder, ("network", "pretrained"), first, tmp_path / "moved")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--width", "16"], "Expected --width 8, as the network in"),
        (["--set", "binary_stem=true"], "Expected --set binary_stem false, as the network in"),
        (["--resume"], "Expected --from or --resume"),
        (["--set", "noise_rate=0.1"], "noisy_supervision.noise_rate with --method noisy-superv"),
        ([*NOISY, "--set", "noise_rate=0.6"], "sum is below 1"),
        ([*NOISY, "--set", "noise_rate=much"], "written RATE or RATE:RATE"),
        ([*NOISY, "--set", "noise_rate=nan"], "Expected --set noise_rate"),
        ([*NOISY, "--set", "mapping=small"], "Expected --set mapping"),
        ([*NOISY, "--set", "weight=-1"], "Expected --set weight"),
        (
            [*NOISY, "--set", "start=random", "--set", "scale=0.3"],
            "start.scale with --set start=residual",
        ),
        ([*NOISY, "--kernel-quantizer", "ste_sign"], "--kernel-quantizer from the network or"),
    ],
)
def test_bad_options_of_a_run_that_goes_on(train, finished, tmp_path, options, message):
    result = train("--from", finished[0], *options, "--run", tmp_path / "run")
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())
    assert not (tmp_path / "run").exists()


def test_settings_that_stay_and_settings_that_begin_anew(finish):
    first = RunConfig(
        Data("fashion_mnist_sample", batch_size=32, augment="crop"),
        Network(width=8, input_quantizer="approx_sign"),
        Fit(epochs=7, optimizer="sgd", seed=5, clip_norm=1.0),
        (Contrastive(),),
    )
    folder = finish(first)
    config = continue_from(folder)
    assert config.data == first.data.replace(split_seed=5)
    assert config.network == first.network.replace(pretrained=TrainedRun(folder))
    assert config.fit == Fit(learning_rate=0.001)
    assert config.techniques == ()
    assert continue_from(folder, input_quantizer="ste_sign").network.input_quantizer == "ste_sign"


def test_smooth_signs_that_stay_keep_their_schedule(finish):
    smooth = SelfBinarizing((1, 50), (1, 3), hard_from=0.7, order="layer_by_layer")
    folder = finish(RunConfig(SAMPLE, techniques=(smooth,)))
    config = continue_from(folder)
    assert config.techniques == (smooth,)
    assert config.network.normalization == "binary"
    changed = continue_from(folder, input_quantizer="ste_sign")
    assert changed.techniques == (smooth.replace(inputs=None),)
    learned = continue_from(folder, techniques=[NoisySupervision()])
    assert learned.techniques == (NoisySupervision(), smooth.replace(kernels=None))
    both = continue_from(folder, input_quantizer="ste_sign", techniques=[NoisySupervision()])
    assert both.techniques == (NoisySupervision(),)
    assert both.network.input_quantizer == "ste_sign"


def test_learned_signs_that_stay_keep_their_settings(finish, tmp_path):
    learned = NoisySupervision((0.2, 0.1), 0.5, "bottleneck", start=Residual(0.3))
    folder = finish(RunConfig(SAMPLE, techniques=(learned,)))
    assert continue_from(folder).techniques == (learned,)

    def from_texts(texts, *techniques):
        run = RunFolder(tmp_path / "run")
        return config_from_texts(run, techniques, texts, first=folder).techniques

    assert from_texts({}) == from_texts({}, "noisy_supervision") == (learned,)
    assert from_texts({"mapping": "full"}) == (learned.replace(mapping="full"),)
    assert from_texts({"start": "random"}) == (learned.replace(start=Random()),)
    assert from_texts({"kernel_quantizer": "ste_sign"}) == ()


def test_settings_of_learned_signs_reach_the_quantizer():
    learned = NoisySupervision((0.2, 0.1), 0.5, "bottleneck", "hard", Residual(0.3))
    model = build_model(RunConfig(SAMPLE, Network(width=8), techniques=(learned,)))
    found = model.get_layer("conv_1").kernel_quantizer.get_config()
    expected = {"noise_rate": [0.2, 0.1], "mapping": "bottleneck", "loss_on": "hard"}
    expected |= {"weight": 0.5, "residual_scale": 0.3, "start": "residual"}
    assert {name: found[name] for name in expected} == expected
    assert NoisySupervision(start=Random()).quantizer().start == "random"


def test_a_noise_rate_may_be_one_number():
    assert NoisySupervision(0.2).noise_rate == (0.2, 0.2)
    for wrong in (True, "0.1", (0.1, 0.2, 0.3)):
        with pytest.raises(ValueError, match="Expected `noise_rate`"):
            NoisySupervision(wrong)


def test_what_may_not_be_meant_is_said(finish):
    learned = RunConfig(SAMPLE, techniques=(NoisySupervision(),))
    (said,) = remarks(learned)
    assert "`noisy_supervision` is meant for a trained network" in said
    assert remarks(RunConfig(SAMPLE)) == []
    config = continue_from(finish(learned))
    assert remarks(config) == []
    other = RunConfig(Data("mnist"), config.network, config.fit, config.techniques)
    (said,) = remarks(other)
    assert "was trained on fashion_mnist_sample, and now trains on mnist" in said
