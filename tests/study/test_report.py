import numpy as np
import pytest
from made_up import create_result, get_missing_errors

from study import report
from study.variants import VARIANTS


@pytest.fixture
def runs():
    """Six runs of `article`; three of `book`, of which one misses two digits."""
    accuracies = [0.977, 0.978, 0.980, 0.978, 0.9785, 0.9796]
    return report.tabulate_runs(
        [create_result("article", seed, a) for seed, a in enumerate(accuracies, start=1)]
        + [
            create_result("book", 1, 0.965),
            create_result("book", 2, 0.770, [0.01] * 4 + [1.0, 0.49, 0.51] + [0.01] * 3),
            create_result("book", 3, 0.967),
        ]
    )


def test_the_table_of_runs(runs):
    assert list(runs["variant"]) == ["article"] * 6 + ["book"] * 3
    assert list(runs["accuracy"][6:]) == [0.965, 0.770, 0.967]
    expected = [[0.5, 0.966, 0.965], [0.5, 0.771, 0.770], [0.5, 0.968, 0.967]]
    assert report.get_accuracy_after_epoch(runs)[6:] == pytest.approx(np.array(expected))
    assert runs["error_5"][7] == 0.49


def test_missed_digits_and_runs_that_miss_one(runs):
    assert report.find_missed_digits(runs).sum(axis=1).tolist() == [0] * 7 + [2, 0]
    assert report.misses_a_digit(runs).tolist() == [False] * 7 + [True, False]


def test_the_summary(runs):
    article, book = report.summarise(runs).to_dict("records")
    accuracies = [97.7, 97.8, 98.0, 97.8, 97.85, 97.96]
    assert (article["variant"], article["n"], article["missing"]) == ("article", 6, 0)
    assert article["mean"] == article["mean_of_others"] == pytest.approx(np.mean(accuracies))
    assert article["std"] == pytest.approx(np.std(accuracies, ddof=1))
    assert (article["min"], article["max"]) == pytest.approx((97.7, 98.0))
    assert np.isnan(article["mean_low"])  # too few runs
    assert (article["share_low"], article["share_high"]) == pytest.approx((0, 39.0), abs=0.1)

    assert (book["n"], book["missing"]) == (3, 1)
    assert book["mean_of_others"] == pytest.approx(96.6)
    assert (book["share_low"], book["share_high"]) == pytest.approx((6.1, 79.2), abs=0.1)


def test_the_effects_on_three_outcomes():
    """`init` takes off 1 point, and 10 more from every other run, which misses a digit."""
    results = []
    for name, variant in VARIANTS.items():
        for seed in range(1, 41):
            misses = variant.book_init and seed % 2 == 0
            accuracy = 0.97 - 0.01 * variant.book_init - 0.10 * misses + 0.001 * (seed % 5)
            errors = get_missing_errors(8) if misses else (0.02,) * 10
            results.append(create_result(name, seed, accuracy, errors))
    runs = report.tabulate_runs(results)
    table = report.estimate_effects(runs).set_index("effect")
    article = report.summarise(runs).set_index("variant").loc["article"]
    assert 97.1 < article["mean_low"] < article["mean"] < article["mean_high"] < 97.3

    init, cost = table.loc["init"], table.loc["cost"]
    assert init["mean"] == pytest.approx(-6)
    assert init["mean_low"] < -6 < init["mean_high"] < 0
    assert init["share"] == 50
    assert 30 < init["share_low"] < 50 < init["share_high"] < 70
    assert init["mean_of_others"] == pytest.approx(-1)
    assert init["mean_of_others_low"] < -1 < init["mean_of_others_high"] < -0.9
    assert cost[["mean", "share", "mean_of_others"]].tolist() == pytest.approx([0, 0, 0])


def test_only_effects_of_the_variants_that_ran_are_estimated(runs):
    assert list(report.estimate_effects(runs)["effect"]) == ["all three: book - article"]
    assert len(report.estimate_effects(runs[runs["variant"] == "book"])) == 0


def test_published_figures_are_placed_among_the_runs_of_their_variant(runs):
    table = report.place_published(runs).set_index("figure")
    assert list(table.index) == [97.85, 97.96, 97.78, 96.59]
    assert list(table["n"]) == [6, 6, 6, 3]
    assert list(table["below"]) == [3, 4, 1, 2]
    assert list(table["above"]) == [2, 1, 5, 1]  # those equal to it are neither
    assert list(table["best_epoch_above"]) == [5, 2, 6, 2]
