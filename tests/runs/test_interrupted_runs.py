"""A run that is killed and resumed ends like the uninterrupted one, bit for bit."""

import pathlib
import shutil
import signal
import sys
import time

import numpy as np
import pytest
import tf_keras as keras

DYING = [sys.executable, pathlib.Path(__file__).with_name("dying_run.py")]


def weights(file):
    return keras.models.load_model(file, compile=False).get_weights()


def log_without_seconds(folder):
    return [line.rsplit(",", 1)[0] for line in (folder / "log.csv").read_text().splitlines()]


def wait_for(file):
    deadline = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "count"),
    [
        pytest.param("batch", 3, id="in the first epoch"),
        pytest.param("batch", 11, id="in the second epoch"),
        pytest.param("log.csv", 2, id="at the end of the second epoch"),
        pytest.param("best.keras", 1, id="logged, the best not saved"),
        pytest.param("backup", 2, id="logged, the state not saved"),
        pytest.param("model.keras", 1, id="trained, the model not saved"),
        pytest.param("result.json", 1, id="all but the result"),
    ],
)
def test_killed_run_resumes_exactly(moment, count, run_kbnn, settings, finished, tmp_path):
    folder = tmp_path / "run"
    killed = run_kbnn(
        *(moment, count, "train", *settings(epochs=3), "--run", folder), command=DYING
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (folder / "result.json").exists()

    resumed = run_kbnn("train", "--resume", "--run", folder)

    assert resumed.returncode == 0, resumed.stderr
    for file in ("model.keras", "checkpoints/best.keras"):
        for ours, theirs in zip(weights(folder / file), weights(finished[0] / file), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert log_without_seconds(folder) == log_without_seconds(finished[0])
    assert not list(folder.rglob(".unfinished-*"))


@pytest.mark.slow
def test_a_killed_run_with_a_teacher_resumes_exactly(run_kbnn, settings, finished, tmp_path):
    whole, folder = tmp_path / "whole", tmp_path / "run"
    train = ("train", *settings(epochs=2), "--method", "distillation")
    train += ("--set", f"teacher={finished[0]}", "--set", "feature_weight=0.5")
    assert run_kbnn(*train, "--run", whole).returncode == 0
    killed = run_kbnn("batch", 10, *train, "--run", folder, command=DYING)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed = run_kbnn("train", "--resume", "--run", folder)
    assert resumed.returncode == 0, resumed.stderr
    pairs = zip(weights(folder / "model.keras"), weights(whole / "model.keras"), strict=True)
    for ours, theirs in pairs:
        np.testing.assert_array_equal(ours, theirs)
    assert log_without_seconds(folder) == log_without_seconds(whole)


@pytest.mark.slow
@pytest.mark.parametrize("source", ["embedding_queue", "memory_bank"])
def test_a_killed_run_with_a_memory_resumes_exactly(source, run_kbnn, settings, tmp_path):
    options = ("--method", "contrastive", "--set", f"negatives={source}", "--set", "count=50")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    train = ["train", *settings(epochs=3), *options, "--run"]
    assert run_kbnn(*train, whole).returncode == 0
    assert run_kbnn("batch", 11, *train, killed, command=DYING).returncode == -signal.SIGKILL
    resumed = run_kbnn("train", "--resume", "--run", killed)
    assert resumed.returncode == 0, resumed.stderr
    ours, theirs = (weights(folder / "model.keras") for folder in (killed, whole))
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)
    # Measures of the term too.
    assert log_without_seconds(killed) == log_without_seconds(whole)


@pytest.mark.slow
def test_a_lost_model_of_a_finished_run_is_written_again(run_kbnn, finished, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(finished[0], folder)
    (folder / "model.keras").unlink()
    resumed = run_kbnn("train", "--resume", "--run", folder)
    assert resumed.returncode == 0, resumed.stderr
    for ours, theirs in zip(
        weights(folder / "model.keras"), weights(finished[0] / "model.keras"), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_run_killed_before_it_began_can_be_begun(run_kbnn, settings, tmp_path):
    train = ["train", *settings(epochs=1), "--run", tmp_path / "run"]
    assert run_kbnn("config.json", 1, *train, command=DYING).returncode == -signal.SIGKILL
    assert run_kbnn(*train).returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_interrupted_run_says_how_to_go_on(number, start_kbnn, settings, tmp_path):
    folder = tmp_path / "my run"
    with start_kbnn("train", *settings(epochs=1000), "--run", folder) as process:
        wait_for(folder / "log.csv")
        process.send_signal(number)
        try:
            output, errors = process.communicate(timeout=60)
        finally:
            process.kill()

    assert process.returncode == 130
    assert errors.splitlines()[-1] == (
        f"Interrupted. Resume with: kbnn train --resume --run '{folder}'"
    )
    assert "Traceback" not in errors
    assert output == ""


@pytest.mark.slow
def test_second_process_is_kept_out(start_kbnn, run_kbnn, settings, tmp_path):
    folder = tmp_path / "run"
    with start_kbnn("train", *settings(epochs=1000), "--run", folder) as first:
        wait_for(folder / "log.csv")
        second = run_kbnn("train", "--resume", "--run", folder)
        still_training = first.poll() is None
        first.kill()
        first.communicate()

    assert still_training
    assert second.returncode == 2
    assert "no other process" in second.stderr
