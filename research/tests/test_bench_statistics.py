"""Intervals and power, against scipy, simulation, and formulas by hand."""

import numpy as np
import pytest
from scipy import stats

from research.bench_statistics import (
    Spread,
    Term,
    mean_difference,
    pooled_spread,
    spreads,
    weighted_sum,
    wide_groups,
)


def difference(own, others, spread=None):
    """The difference of two groups, with a common spread or the two own ones."""
    if spread is None:
        own_spreads = [
            Spread(np.std(group, ddof=1), len(group) - 1, name)
            for name, group in (("a", own), ("b", others))
        ]
    else:
        own_spreads = [spread, spread]
    return weighted_sum([Term(1.0, own, own_spreads[0]), Term(-1.0, others, own_spreads[1])])


def test_the_pooled_spread_of_known_groups():
    """Variances 1 (two degrees) and 4 (one degree), pooled: 2 * 1 + 1 * 4 over 3."""
    root8 = 8**0.5
    found = pooled_spread([[1.0, 2.0, 3.0], [10.0, 10.0 + root8], [5.0]])
    assert found.degrees == 3
    assert found.deviation == pytest.approx(2**0.5)
    assert pooled_spread([[1.0], [2.0]]) == Spread(None, 0)
    assert pooled_spread([]) == Spread(None, 0)


def test_with_two_groups_the_interval_is_that_of_student(rng):
    own, others = list(rng.normal(0.5, 0.1, 6)), list(rng.normal(0.4, 0.1, 9))
    found = difference(own, others, pooled_spread([own, others]))
    expected = stats.ttest_ind(own, others).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx(np.mean(own) - np.mean(others))


def test_with_own_spreads_the_interval_is_that_of_welch(rng):
    own, others = list(rng.normal(0.5, 0.9, 5)), list(rng.normal(0.4, 0.1, 9))
    found = difference(own, others)
    expected = stats.ttest_ind(own, others, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_with_more_groups_the_spread_is_that_of_an_analysis_of_variance(rng):
    """The width by hand: t of 3 * 4 degrees, the mean square within groups, 2 / 5 of it."""
    groups = [list(rng.normal(i, 1.0, 5)) for i in range(3)]
    found = difference(groups[0], groups[1], pooled_spread(groups))
    within = np.mean([np.var(group, ddof=1) for group in groups])
    margin = stats.t.ppf(0.975, 12) * np.sqrt(within * 2 / 5)
    assert found.high - found.mean == pytest.approx(margin)
    assert found.mean - found.low == pytest.approx(margin)


def test_a_mean_of_differences_has_the_interval_of_a_paired_test(rng):
    own, others = rng.normal(0.5, 0.1, 7), rng.normal(0.4, 0.1, 7)
    found = mean_difference(list(own - others))
    expected = stats.ttest_rel(own, others).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    one = mean_difference([0.1])
    assert (one.mean, one.low, one.high, one.least_seen) == (0.1, None, None, None)


def test_weights_count_in_the_mean_and_squared_in_the_variance(rng):
    values = list(rng.normal(size=8))
    spread = pooled_spread([values])
    whole = weighted_sum([Term(1.0, values, spread)])
    half = weighted_sum([Term(0.5, values, spread)])
    assert (half.mean, half.low) == pytest.approx((whole.mean / 2, whole.low / 2))
    # Half and half of two groups of four: the variance is (1/4) / 4 + (1/4) / 4 = 1/8 of one run's.
    parts = [Term(0.5, values[:4], spread), Term(0.5, values[4:], spread)]
    assert weighted_sum(parts).low == pytest.approx(whole.low)


@pytest.mark.parametrize("runs", [2, 3, 10])
def test_the_least_effect_that_is_seen_is_seen_in_80_of_100_cases(runs):
    """A simulation of t tests whose true spread is the one that the power is computed for."""
    generator = np.random.default_rng(3)
    # Groups with exactly this spread, for which `least_seen` is the effect to simulate.
    shape = np.arange(runs) - (runs - 1) / 2
    shape = list(shape / np.std(shape, ddof=1))
    effect = difference(shape, shape, pooled_spread([shape, shape])).least_seen
    cases = 40_000
    own, others = generator.normal(size=(2, runs, cases))
    found = stats.ttest_ind(own + effect, others)
    seen = np.mean((found.pvalue < 0.05) & (found.statistic > 0))
    assert seen == pytest.approx(0.8, abs=0.01)


def test_the_power_comes_near_the_normal_approximation_with_many_runs():
    values = list(np.tile([-1.0, 1.0], 500))
    found = difference(values, values, pooled_spread([values, values]))
    error = np.std(values, ddof=1) * np.sqrt(2 / 1000)
    assert found.least_seen == pytest.approx((1.95996 + 0.84162) * error, rel=2e-3)


def test_a_clearly_wider_group_is_found_and_keeps_its_own_spread(rng):
    groups = {f"arm_{i}": list(rng.normal(0.5, 0.003, 10)) for i in range(8)}
    groups["unstable"] = list(rng.normal(0.4, 0.03, 10))
    groups["single"] = [0.5]
    assert wide_groups(groups) == ["unstable"]
    found = spreads(groups)
    expected = pooled_spread([group for name, group in groups.items() if name != "unstable"])
    assert {found[name] for name in groups if name != "unstable"} == {expected}
    assert found["unstable"].deviation == pytest.approx(np.std(groups["unstable"], ddof=1))
    assert (found["unstable"].degrees, found["unstable"].group) == (9, "unstable")


def test_groups_of_one_spread_are_seldom_taken_apart():
    """Of families of ten arms with equal spread, about 5 % have an arm that is taken out."""
    generator = np.random.default_rng(0)
    families = 400
    apart = 0
    for _ in range(families):
        groups = {str(i): list(generator.normal(size=10)) for i in range(10)}
        apart += bool(wide_groups(groups))
    assert apart / families < 0.09


def test_a_narrow_group_and_equal_values_stay_in_the_pool():
    groups = {"a": [0.1, 0.2, 0.3], "b": [0.5, 0.5], "c": [0.3, 0.4, 0.5]}
    assert wide_groups(groups) == []
    assert wide_groups({"a": [0.5, 0.5], "b": [0.5, 0.6]}) == []
    assert wide_groups({}) == []


def test_intervals_cover_the_truth_in_95_of_100_cases_whatever_the_spreads():
    """One arm has three times the spread: pooling would cover too seldom."""
    generator = np.random.default_rng(1)
    cases, covered = 600, 0
    for _ in range(cases):
        groups = {str(i): list(generator.normal(size=10)) for i in range(5)}
        groups["wide"] = list(generator.normal(0.0, 3.0, 10))
        of = spreads(groups)
        found = weighted_sum(
            [Term(1.0, groups["wide"], of["wide"]), Term(-1.0, groups["0"], of["0"])]
        )
        covered += found.low < 0 < found.high
    assert covered / cases > 0.93
