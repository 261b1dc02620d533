"""The processor time of a training, also of one that was interrupted."""

import pytest

from research.epoch_clock import EpochClock


def train(folder, epochs, first_epoch=0, overhead=0.0):
    """Run a clock over epochs of given lengths."""
    now = 1000.0
    clock = EpochClock(folder, lambda: now)
    clock.on_train_begin()
    now += overhead
    for epoch, seconds in enumerate(epochs, first_epoch):
        clock.on_epoch_begin(epoch)
        now += seconds
        clock.on_epoch_end(epoch)
    return clock


def test_epochs_and_what_is_between_them_add_up(tmp_path):
    clock = train(tmp_path, [5.0, 2.0, 2.5], overhead=1.0)
    assert clock.seconds(3) == 10.5
    assert (tmp_path / "cpu_seconds.txt").read_text() == "10.5\n"


def test_an_interrupted_run_has_the_time_of_all_its_epochs(tmp_path):
    train(tmp_path, [5.0, 2.0])
    # Epoch 2 was not saved and is run again; the process begins with five seconds of tracing.
    clock = train(tmp_path, [7.0, 2.0], first_epoch=1)
    assert clock.seconds(3) == 14.0


def test_epochs_without_a_time_count_as_the_others(tmp_path):
    clock = train(tmp_path, [7.0, 2.0, 2.0], first_epoch=3)
    assert clock.seconds(6) == 17.0


def test_a_finished_run_keeps_its_time(tmp_path):
    train(tmp_path, [5.0, 2.0]).seconds(2)
    assert EpochClock(tmp_path).seconds(2) == 7.0
    (tmp_path / "cpu_seconds.csv").unlink()
    assert EpochClock(tmp_path).seconds(2) == 7.0


def test_a_run_without_any_time_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"cpu_seconds\.csv.*train the run again"):
        EpochClock(tmp_path).seconds(2)
