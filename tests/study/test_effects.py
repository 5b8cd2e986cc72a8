"""Contrasts and intervals against a regression, textbook formulas, and data with known effects."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from study import effects

# By hand, apart from the order: which of init, cost and data are the book's
FACTORIAL = {
    "article": (0, 0, 0),
    "init": (1, 0, 0),
    "cost": (0, 1, 0),
    "data": (0, 0, 1),
    "init+cost": (1, 1, 0),
    "init+data": (1, 0, 1),
    "cost+data": (0, 1, 1),
    "book": (1, 1, 1),
}
FACTORS = ("init", "cost", "data")
SUBSETS = [subset for size in (1, 2, 3) for subset in itertools.combinations(range(3), size)]


def calc(name, means):
    """Return the effect of this name of variants' means, without noise."""
    contrast = effects.create_contrasts()[name]
    return sum(weight * means[variant] for variant, weight in contrast.items())


def test_effects_are_the_coefficients_of_a_regression():
    """On factors coded -1/2 and 1/2, and their products, by least squares."""
    rng = np.random.default_rng(1)
    means = {variant: rng.normal() for variant in FACTORIAL}
    coded = np.array(list(FACTORIAL.values())) - 0.5
    columns = [np.ones(8)] + [coded[:, subset].prod(axis=1) for subset in SUBSETS]
    coefficients, *_ = np.linalg.lstsq(np.stack(columns, axis=1), list(means.values()))
    for subset, coefficient in zip(SUBSETS, coefficients[1:], strict=True):
        name = " x ".join(FACTORS[i] for i in subset)
        assert calc(name, means) == pytest.approx(coefficient)


def test_effects_with_one_initialisation_are_differences_of_means():
    means = dict(zip(FACTORIAL, [97, 84, 97.2, 96.9, 90, 80, 97.4, 89], strict=True))
    assert calc("cost, with the article's init", means) == pytest.approx((0.2 + 0.5) / 2)
    assert calc("data, with the article's init", means) == pytest.approx((-0.1 + 0.2) / 2)
    assert calc("cost, with the book's init", means) == pytest.approx((6 + 9) / 2)
    assert calc("data, with the book's init", means) == pytest.approx((-4 - 1) / 2)
    assert calc("cost and data: cost+data - article", means) == pytest.approx(0.4)
    assert calc("init: book - cost+data", means) == pytest.approx(-8.4)
    assert calc("all three: book - article", means) == -8
    assert calc("normalized - article", {"normalized": 98, "article": 97}) == 1


def test_known_effects_are_found_in_noise():
    rng = np.random.default_rng(2)
    num_seeds = 200
    luck = rng.normal(0, 3, num_seeds)  # of a seed, whatever the variant
    values = pd.DataFrame(
        {
            variant: 90 - 8 * init + 1 * data + 5 * init * cost + luck + rng.normal(0, 1, num_seeds)
            for variant, (init, cost, data) in FACTORIAL.items()
        }
    )
    contrasts = effects.create_contrasts()
    for name, expected in {
        "init": -8 + 5 / 2,
        "cost": 5 / 2,
        "data": 1,
        "init x cost": 5,
        "init x data": 0,
        "cost, with the article's init": 0,
        "cost, with the book's init": 5,
    }.items():
        effect, low, high = effects.estimate(contrasts[name], values)
        assert low < effect < high
        assert abs(effect - expected) < 0.35
        assert high - low < 0.7  # the luck of the seed cancels out


def test_the_interval_of_a_difference_is_welch_s_where_runs_are_missing():
    rng = np.random.default_rng(1)
    values = pd.DataFrame({"book": rng.normal(96, 0.4, 400), "article": rng.normal(98, 0.1, 400)})
    values.loc[:299, "book"] = np.nan
    difference, low, high = effects.estimate({"book": 1, "article": -1}, values)
    expected = stats.ttest_ind(values["book"][300:], values["article"], equal_var=False)
    assert difference == pytest.approx(values["book"].mean() - values["article"].mean())
    assert (low, high) == pytest.approx(tuple(expected.confidence_interval()), abs=5e-3)


def test_the_luck_of_a_seed_is_not_taken_for_many_runs_luck():
    """Where runs of a seed go up and down together, their sum varies as if it were one run."""
    rng = np.random.default_rng(1)
    luck = rng.normal(0, 1, 100)
    values = pd.DataFrame({"init": luck, "book": luck, "article": 0.0, "cost+data": 0.0})
    values.loc[rng.random(100) < 0.3, "init"] = np.nan
    contrast = {"init": 1 / 2, "book": 1 / 2, "article": -1 / 2, "cost+data": -1 / 2}
    _, low, high = effects.estimate(contrast, values)
    assert high - low == pytest.approx(2 * 1.98 * luck.std() / 10, rel=0.2)  # independent: 0.6


@pytest.mark.parametrize("values", [[96.0], range(19), [np.nan] * 9 + [96.0]])
def test_too_few_runs_have_no_interval(values):
    mean, *interval = effects.estimate({"book": 1}, pd.DataFrame({"book": values}))
    assert mean == np.nanmean(values)
    assert np.isnan(interval).all()


def test_twenty_runs_have_an_interval_always_the_same():
    values = pd.DataFrame({"book": np.random.default_rng(1).normal(96, 0.4, 20)})
    mean, low, high = effects.estimate({"book": 1}, values)
    expected = stats.t.interval(0.95, 19, mean, stats.sem(values["book"]))
    assert (low, high) == pytest.approx(expected, abs=0.05)
    assert effects.estimate({"book": 1}, values) == (mean, low, high)


def test_without_runs_there_is_no_effect():
    values = pd.DataFrame({"book": [np.nan, np.nan], "article": [98.0, 97.9]})
    assert np.isnan(effects.estimate({"book": 1, "article": -1}, values)).all()


def test_equal_values_have_no_interval():
    """That none of 20 runs misses a digit doesn't mean that none can."""
    share, low, high = effects.estimate({"book": 1}, pd.DataFrame({"book": [0.0] * 20}))
    assert share == 0
    assert np.isnan([low, high]).all()
