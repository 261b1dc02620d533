import pytest

from research import step_timing
from research.step_timing import Turn


def test_the_steps_take_turns_and_what_warms_up_is_not_timed():
    now, order = 0.0, []

    def step(name, duration):
        def run():
            nonlocal now
            order.append(name)
            now += duration

        return run

    steps = {"a": step("a", 1.0), "b": step("b", 3.0)}
    turns = step_timing.take_turns(
        steps,
        rounds=3,
        steps_per_round=2,
        warm_up=1,
        wall_clock=lambda: now,
        cpu_clock=lambda: 2 * now,
    )
    assert order == ["a", "b"] + 3 * ["a", "a", "a", "b", "b", "b"]
    assert turns == {"a": 3 * [Turn(1.0, 2.0)], "b": 3 * [Turn(3.0, 6.0)]}


def test_ratios_are_those_of_the_rounds():
    """A round in which the whole machine is ten times slower changes nothing."""
    baseline = [1.0, 1.0, 10.0, 1.0, 1.0]
    seconds = [2.0, 3.0, 40.0, 5.0, 6.0]
    assert step_timing.ratio(seconds, baseline) == step_timing.Ratio(4.0, 3.0, 5.0)


def test_every_round_has_a_baseline():
    with pytest.raises(ValueError, match="shorter"):
        step_timing.ratio([1.0, 2.0], [1.0])
