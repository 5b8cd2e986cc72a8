import numpy as np
import pandas as pd
import pytest

from study import report


def create_result(variant, seed, accuracy, error_per_digit=(0.02,) * 10):
    return {
        "variant": variant,
        "seed": seed,
        "accuracy": accuracy,
        "error_per_digit": list(error_per_digit),
        "accuracy_after_epoch": [0.5, accuracy + 0.001, accuracy],
        "seconds": 10.0 * seed,
    }


@pytest.fixture
def runs():
    """Three runs of `article`, two of `book`, of which one is stuck at two digits."""
    return report.tabulate_runs(
        [
            create_result("article", 1, 0.977),
            create_result("article", 2, 0.978),
            create_result("article", 3, 0.980),
            create_result("book", 1, 0.965),
            create_result("book", 2, 0.770, [0.01] * 4 + [1.0, 0.94, 0.96] + [0.01] * 3),
        ]
    )


def test_the_table_of_runs(runs):
    assert list(runs["variant"]) == ["article"] * 3 + ["book"] * 2
    assert list(runs["accuracy"]) == [0.977, 0.978, 0.980, 0.965, 0.770]
    assert list(runs["best_accuracy"]) == pytest.approx([0.978, 0.979, 0.981, 0.966, 0.771])
    assert runs["error_5"][4] == 0.94


def test_the_summary(runs):
    article, book = report.summarise(runs).to_dict("records")
    assert (article["variant"], article["n"], article["epochs"]) == ("article", 3, 3)
    assert article["mean %"] == pytest.approx((97.7 + 97.8 + 98.0) / 3)
    assert article["std"] == pytest.approx(np.std([97.7, 97.8, 98.0], ddof=1))
    assert (article["min %"], article["max %"]) == pytest.approx((97.7, 98.0))
    assert 97.7 <= article["95 % CI from"] < article["mean %"] < article["to"] <= 98.0
    assert (article["digits never learnt"], article["in runs"]) == (0, 0)
    assert article["s per run"] == 20
    assert (book["digits never learnt"], book["in runs"]) == (2, 1)


def test_published_figures_are_placed_in_the_range_seen(runs):
    article, book = report.summarise(runs).to_dict("records")
    names = ["article 97.85 %", "article 97.96 %", "book 96.59 %"]
    assert [article[name] for name in names] == ["in range", "in range", "below"]
    assert [book[name] for name in names] == ["above", "above", "above"]


def test_the_ends_of_a_range_are_in_it():
    values = pd.Series([97.85, 97.96])
    assert report.place(100 * 0.9785, values) == "in range"
    assert report.place(97.84, values) == "below"
    assert report.place(97.97, values) == "above"


def test_the_interval_is_that_of_a_normal_mean():
    """For many normal values, the bootstrap's interval is the textbook's mean ± 1.96 s/sqrt(n)."""
    values = np.random.default_rng(1).normal(97.8, 0.1, size=400)
    half_width = 1.96 * values.std(ddof=1) / 20
    expected = [values.mean() - half_width, values.mean() + half_width]
    assert report.bootstrap_mean(values) == pytest.approx(expected, abs=1e-3)


def test_a_single_run_is_reported_too():
    (row,) = report.summarise(report.tabulate_runs([create_result("book", 1, 0.96)])).to_dict(
        "records"
    )
    assert row["95 % CI from"] == row["to"] == pytest.approx(96)
    assert np.isnan(row["std"])


def test_what_is_written(runs, tmp_path):
    report.write(runs, report.summarise(runs), tmp_path)
    _, line, article, _ = (tmp_path / "summary.md").read_text().splitlines()
    assert set(line) <= set("|:-")
    assert [cell.strip() for cell in article.split("|")][1:5] == ["article", "3", "3", "97.83"]

    summary = pd.read_csv(tmp_path / "summary.csv")
    assert summary["mean %"][1] == pytest.approx(86.75)
    assert list(pd.read_csv(tmp_path / "runs.csv")["accuracy"]) == list(runs["accuracy"])
