"""What is drawn, read back from the figures; how they look is for eyes."""

import numpy as np
import pandas as pd
import pytest
from made_up import create_result, get_missing_errors
from matplotlib.collections import LineCollection
from PIL import Image

from study import plots, report

RESULTS = [
    create_result("article", 1, 0.977),
    create_result("article", 2, 0.978),
    create_result("book", 1, 0.770, get_missing_errors(4, 6)),
]


@pytest.fixture
def runs():
    return report.tabulate_runs(RESULTS)


def get_texts(artists):
    return [artist.get_text() for artist in artists]


def find_points(axes):
    """Return all points and strokes of a panel, as (x, row), in order."""
    points = np.concatenate([dots.get_offsets() for dots in axes.collections])
    return sorted((x.item(), round(y.item())) for x, y in points)


def test_each_run_is_a_point_and_each_published_figure_a_stroke_in_its_row(runs):
    panels = plots.draw_runs(runs).axes
    assert get_texts(panels[0].get_yticklabels()) == ["article (2)", "book (1)"]
    for axes in panels:
        points = find_points(axes)
        assert [x for x, row in points if row == 0] == pytest.approx(
            [97.7, 97.78, 97.8, 97.85, 97.96]
        )
        assert [x for x, row in points if row == 1] == pytest.approx([77.0, 96.59])


def test_the_close_up_says_how_many_runs_it_leaves_out(runs):
    (note,) = plots.draw_runs(runs).axes[1].texts
    assert note.get_text().endswith("1 of 1 lower")
    assert note.get_position()[1] == 1


def test_runs_have_the_colours_of_the_legend(runs):
    figure = plots.draw_runs(runs)
    (legend,) = figure.legends
    colours = {
        text.get_text(): handle.get_facecolor()[0, :3].tolist()
        for text, handle in zip(legend.get_texts(), legend.legend_handles, strict=True)
        if text.get_text().startswith("run with")
    }
    drawn = {
        round(x, 2): dots.get_facecolor()[0, :3].tolist()
        for dots in figure.axes[0].collections
        for x, _ in dots.get_offsets().tolist()
    }
    assert drawn[97.7] == drawn[97.8] == colours["run with the article's initialisation"]
    assert drawn[77.0] == colours["run with the book's initialisation"]


def test_each_panel_over_the_epochs_has_its_variant_s_published_figures(runs):
    for axes, expected in zip(
        plots.draw_epochs(runs).axes, ([97.78, 97.85, 97.96], [96.59]), strict=True
    ):
        marks = [line for line in axes.lines if len(line.get_ydata()) == 1]
        assert sorted(line.get_ydata()[0] for line in marks) == expected


def test_each_run_is_a_line_over_the_epochs(runs):
    article, book = plots.draw_epochs(runs).axes
    assert [article.get_title(), book.get_title()] == ["article", "book"]
    runs_of_article = [line for line in article.lines if len(line.get_xdata()) == 3]
    assert len(runs_of_article) == 2
    epochs, accuracies = book.lines[0].get_data()
    assert list(epochs) == [1, 2, 3]
    assert accuracies == pytest.approx([50, 77.1, 77.0])


def test_the_runs_that_miss_a_digit_are_counted(runs):
    axes = plots.draw_digits(runs).axes[0]
    counts = np.full((2, 10), np.nan)
    for text in axes.texts:
        digit, row = text.get_position()
        counts[row, digit] = int(text.get_text())
    assert counts.tolist() == [[0] * 10, [0, 0, 0, 0, 1, 0, 1, 0, 0, 0]]
    assert axes.images[0].get_array().tolist() == counts.tolist()
    assert get_texts(axes.get_yticklabels()) == ["article (2)", "book (1)"]
    assert axes.get_xlabel() == "digit"


def test_each_effect_is_a_point_in_its_interval():
    outcomes = ("mean", "share", "mean_of_others")
    numbers = {}
    for factor, outcome in enumerate(outcomes, start=1):
        for end, value in {"": [1.0, 2.0], "_low": [0.5, np.nan], "_high": [4.0, np.nan]}.items():
            numbers[outcome + end] = factor * np.array(value)
    effects = pd.DataFrame({"effect": ["init", "cost"], **numbers})
    panels = plots.draw_effects(effects).axes
    assert get_texts(panels[0].get_yticklabels()) == ["init", "cost"]
    for factor, axes in enumerate(panels, start=1):
        (lines,) = [c for c in axes.collections if isinstance(c, LineCollection)]
        (dots,) = [c for c in axes.collections if not isinstance(c, LineCollection)]
        assert lines.get_segments()[0].tolist() == [[0.5 * factor, 0], [4.0 * factor, 0]]
        assert dots.get_offsets().tolist() == [[factor, 0], [2 * factor, 1]]


def test_the_trace_is_drawn_by_run_and_quantity_with_the_worst_digit_in_colour():
    quantities = {"recognised": 0.5, "output": 0.1, "derivative": 0.2, "gradient": 1e-3}
    tables = []
    for variant, worst in (("article", 3), ("init", 8)):
        table = pd.DataFrame(
            {"variant": variant, "seed": 1, "digit": digit, "epoch": epoch, **quantities}
            for epoch in (0, 1, 2)
            for digit in range(10)
        )
        table.loc[table["digit"] == worst, "recognised"] = 0.4
        tables.append(table)
    panels = plots.draw_trace(tables).axes
    titles = ["article, seed 1: digit 3", "init, seed 1: digit 8"]
    assert [axes.get_title() for axes in panels[:2]] == titles
    for axes, quantity in zip(panels, np.repeat(list(quantities), 2), strict=True):
        assert len(axes.lines) == 10
        (line,) = [line for line in axes.lines if line.get_color() != plots.GREY]
        expected = 0.4 if quantity == "recognised" else quantities[quantity]
        assert line.get_ydata().tolist() == [expected] * 3


def test_the_pictures_are_pngs(runs, tmp_path):
    plots.write(runs, report.estimate_effects(runs), tmp_path)
    files = list(tmp_path.iterdir())
    assert {file.name for file in files} == {"runs.png", "epochs.png", "digits.png", "effects.png"}
    for file in files:
        with Image.open(file) as image:
            assert image.format == "PNG"
            assert image.width == 1080
    plots.write(runs, [], tmp_path)  # now there are none
    assert not (tmp_path / "effects.png").exists()
