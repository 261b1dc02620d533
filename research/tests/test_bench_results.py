"""What the rows of a bench say about its arms: effects, and comparisons at equal time."""

import math

import numpy as np
import pytest
from scipy import stats

from research import bench_table, benches
from research.bench_results import BenchResults, check_settings, interpolation_weights
from research.bench_statistics import pooled_spread
from research.tests.small_run import make_row, make_rows
from research.tests.test_benches import content

BENCH = benches.parse(
    "small",
    content(
        half={"label": "half", "fit": {"epochs": 2}},
        tuned_plain={"label": "tuned plain", "from": "plain"},
        tuned_more={"label": "tuned more", "from": "tuned_plain", "against": "tuned_plain"},
        tuned_other={"label": "tuned other", "from": "plain", "against": "tuned_plain"},
        twice_taught={"label": "taught twice", "from": "taught", "teacher": "float"},
        tuned={"against": "plain"},
    )
    | {"time_curve": ["half", "plain", "longer"]},
)


def results(*groups):
    return BenchResults(BENCH, [row for group in groups for row in group])


def test_effects_are_unpaired_with_the_spread_of_all_arms(rng):
    plain, real, longer = (list(rng.normal(0.5, 0.01, n)) for n in (4, 3, 5))
    found = results(
        make_rows("plain", plain), make_rows("float", real), make_rows("longer", longer)
    )
    effect = found.effect("float")
    spread = pooled_spread([plain, real, longer])
    assert found.spread == spread
    margin = stats.t.ppf(0.975, 9) * spread.deviation * math.sqrt(1 / 3 + 1 / 4)
    assert effect.mean == pytest.approx(np.mean(real) - np.mean(plain))
    assert (effect.high - effect.low) / 2 == pytest.approx(margin)
    assert found.effect("plain") is None
    assert found.effect("taught") is None
    assert not found.is_paired("float")


def test_rows_of_other_benches_and_arms_are_left_out():
    rows = make_rows("plain", [0.5, 0.6])
    others = [make_row(bench="other"), make_row(arm="an arm of the past")]
    assert results(rows, others).accuracies("plain") == [0.5, 0.6]
    assert results(rows, others).arms == ["plain"]


@pytest.mark.parametrize("arm", ["tuned_plain", "tuned_other", "tuned_more"])
def test_arms_that_share_networks_are_compared_seed_by_seed(rng, arm):
    networks = rng.normal(0.5, 0.1, 5)
    other = BENCH.arms[arm].against or "plain"
    own = list(networks + rng.normal(0.02, 0.001, 5))
    found = results(make_rows(other, list(networks)), make_rows(arm, own[:4]))
    assert found.is_paired(arm)
    expected = stats.ttest_rel(own[:4], networks[:4]).confidence_interval(0.95)
    effect = found.effect(arm)
    assert (effect.low, effect.high) == pytest.approx((expected.low, expected.high))


def test_one_common_seed_is_no_pair(rng):
    found = results(
        make_rows("plain", [0.5, 0.51, 0.52]), [make_row(arm="tuned_plain", device_accuracy=0.6)]
    )
    assert not found.is_paired("tuned_plain")
    assert found.effect("tuned_plain").low is not None


def test_an_arm_for_tuning_is_compared_on_the_validation_images(rng):
    own, plain = rng.normal(0.7, 0.01, 3), rng.normal(0.6, 0.01, 4)
    rows = [
        make_row(arm="tuned", seed=i, validation_accuracy=value, device_accuracy=None)
        for i, value in enumerate(own)
    ]
    rows += [make_row(seed=i, validation_accuracy=value) for i, value in enumerate(plain)]
    found = results(rows)
    expected = stats.ttest_ind(own, plain).confidence_interval(0.95)
    effect = found.effect("tuned")
    assert found.is_on_validation("tuned")
    assert (effect.low, effect.high) == pytest.approx((expected.low, expected.high))
    # The validation accuracies of tuning do not count in the spread of the device files.
    assert found.spread.degrees == 3
    assert found.equal_time("tuned") is None


def test_the_time_of_needed_networks_is_included_once():
    """`twice_taught` goes on with `taught`; both are taught by `float`, which is trained once."""
    times = {"plain": 100.0, "float": 50.0, "taught": 120.0, "twice_taught": 130.0}
    found = results(*(make_rows(arm, [0.5], cpu_seconds=time) for arm, time in times.items()))
    assert found.time_ratio("float") == 0.5
    assert found.time_ratio("taught") == 1.7
    assert found.time_ratio("twice_taught") == 3.0
    assert (
        results(make_rows("taught", [0.5]), make_rows("plain", [0.5])).time_ratio("taught") is None
    )


def test_a_run_that_was_disturbed_does_not_count_much():
    plain = [make_row(seed=i, cpu_seconds=time) for i, time in enumerate([100.0, 100.0, 900.0])]
    assert results(plain, make_rows("float", [0.5], cpu_seconds=150.0)).time_ratio("float") == 1.5


def test_times_are_compared_on_the_same_machine():
    plain = [make_row(cpu_seconds=100.0), make_row(seed=1, cpu_seconds=10.0, machine="fast")]
    slow = make_row(arm="float", cpu_seconds=300.0)
    fast = [make_row(arm="float", seed=i, cpu_seconds=20.0, machine="fast") for i in (1, 2, 3)]
    assert results(plain, [slow]).time_ratio("float") == 3.0
    assert results(plain, fast).time_ratio("float") == 2.0
    assert results(plain, [slow, *fast]).time_ratio("float") == pytest.approx((3 + 2 + 2 + 2) / 4)
    other = [make_row(arm="float", machine="unknown")]
    assert results(plain, other).time_ratio("float") is None
    assert results(plain, other).equal_time("float") is None


def test_interpolation_is_linear_in_the_logarithm_of_the_time():
    assert interpolation_weights([1.0, 4.0, 9.0], 2.0) == pytest.approx({0: 0.5, 1: 0.5})
    assert interpolation_weights([1.0, 4.0, 9.0], 6.0) == pytest.approx({1: 0.5, 2: 0.5})
    assert interpolation_weights([1.0, 4.0], 1.0) == {0: 1.0}
    assert interpolation_weights([1.0, 4.0, 9.0], 4.0) == pytest.approx({1: 1.0, 2: 0.0})
    assert interpolation_weights([1.0, 4.0], 0.5) == {0: 1.0}
    assert interpolation_weights([1.0, 4.0], 5.0) == {1: 1.0}
    assert interpolation_weights([3.0], 1.0) == interpolation_weights([3.0], 4.0) == {0: 1.0}


def test_an_arm_is_compared_with_plain_training_of_its_time(rng):
    groups = {
        name: (list(rng.normal(mean, 0.01, 4)), seconds)
        for name, mean, seconds in (
            *(("half", 0.4, 50.0), ("plain", 0.5, 100.0), ("longer", 0.6, 400.0)),
            ("float", 0.7, 200.0),
        )
    }
    found = results(*(make_rows(arm, own, cpu_seconds=s) for arm, (own, s) in groups.items()))
    equal = found.equal_time("float")
    means = {arm: np.mean(own) for arm, (own, _) in groups.items()}
    assert (equal.ratio, equal.is_beyond) == (2.0, False)
    # 200 s are halfway between 100 and 400 s in the logarithm.
    expected = means["float"] - (means["plain"] + means["longer"]) / 2
    assert equal.difference.mean == pytest.approx(expected)
    error = found.spread.deviation * math.sqrt(1 / 4 + 0.25 / 4 + 0.25 / 4)
    margin = stats.t.ppf(0.975, 12) * error
    assert equal.difference.high - equal.difference.mean == pytest.approx(margin)
    for arm in ("half", "plain", "longer"):
        assert found.equal_time(arm) is None


@pytest.mark.parametrize(
    ("seconds", "against", "is_beyond"),
    [(30.0, "plain", False), (205.0, "longer", False), (220.0, "longer", True)],
)
def test_outside_the_curve_an_arm_is_compared_with_its_end(seconds, against, is_beyond):
    found = results(
        make_rows("plain", [0.5, 0.52], cpu_seconds=100.0),
        make_rows("longer", [0.6, 0.62], cpu_seconds=200.0),
        make_rows("float", [0.7, 0.72], cpu_seconds=seconds),
    )
    equal = found.equal_time("float")
    assert equal.is_beyond == is_beyond
    expected = 0.71 - np.mean(found.accuracies(against))
    assert equal.difference.mean == pytest.approx(expected)


def test_without_a_curve_there_is_a_ratio_and_no_comparison():
    bench = benches.parse("small", content() | {"time_curve": []})
    rows = make_rows("plain", [0.5]) + make_rows("float", [0.6])
    equal = BenchResults(bench, rows).equal_time("float")
    assert (equal.ratio, equal.difference, equal.is_beyond) == (1.0, None, False)


def test_an_unstable_arm_does_not_widen_the_intervals_of_the_others(rng):
    steady = {arm: list(rng.normal(0.5, 0.003, 10)) for arm in ("plain", "float", "half")}
    wide = list(rng.normal(0.5, 0.05, 10))
    found = results(
        *(make_rows(arm, own) for arm, own in steady.items()), make_rows("taught", wide)
    )
    assert found.wide_arms == ["taught"]
    assert found.spread == pooled_spread(list(steady.values()))
    effect = found.effect("taught")
    assert (effect.high - effect.low) / 2 > 2.2 * np.std(wide, ddof=1) / math.sqrt(10)
    assert found.effect("float").high - found.effect("float").low < 0.01


def test_rows_with_other_settings_than_their_arm_are_refused(tmp_path):
    config = BENCH.config("plain", 0, tmp_path)
    settings = bench_table.settings_json(config)
    check_settings(BENCH, [make_row(settings=settings), make_row(arm="an arm of the past")])
    with pytest.raises(ValueError, match=r"half.*row of seed 0. Received: fit.epochs 2 .*4\)"):
        check_settings(BENCH, [make_row(arm="half", settings=settings)])
