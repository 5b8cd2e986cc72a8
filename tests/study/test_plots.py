"""What is drawn, read back from the figures; how they look is for eyes."""

import numpy as np
import pytest
from PIL import Image
from test_reproduction_report import create_result

from study import plots, report

RESULTS = [
    create_result("article", 1, 0.977),
    create_result("article", 2, 0.978),
    create_result("book", 1, 0.770, [0.01] * 4 + [1.0, 0.94, 0.96] + [0.01] * 3),
]


@pytest.fixture
def runs():
    return report.tabulate_runs(RESULTS)


def get_texts(artists):
    return [artist.get_text() for artist in artists]


def test_each_run_is_a_point_and_each_published_figure_a_line(runs):
    for axes in plots.draw_runs(runs).axes:
        points = np.concatenate([dots.get_offsets() for dots in axes.collections])
        assert points[:, 1].tolist() == pytest.approx([97.7, 97.8, 77.0])
        assert points[:, 0].round().tolist() == [0, 0, 1]
        lines = [line.get_ydata()[0] for line in axes.lines]
        assert lines == pytest.approx([97.85, 97.96, 96.59])
        assert get_texts(axes.get_xticklabels()) == ["article", "book"]
        assert axes.get_ylabel() == "test images recognised (%)"


def test_each_run_is_a_line_over_the_epochs():
    figure = plots.draw_epochs(RESULTS)
    assert [axes.get_title() for axes in figure.axes] == ["article", "book"]
    assert [len(axes.lines) for axes in figure.axes] == [2, 1]
    epochs, accuracies = figure.axes[1].lines[0].get_data()
    assert list(epochs) == [1, 2, 3]
    assert accuracies == pytest.approx([50, 77.1, 77.0])


def test_the_runs_that_never_learn_a_digit_are_counted(runs):
    axes = plots.draw_digits(runs).axes[0]
    assert axes.images[0].get_array().tolist() == [[0] * 10, [0, 0, 0, 0, 1, 0, 1, 0, 0, 0]]
    assert get_texts(axes.texts) == ["0"] * 14 + ["1", "0", "1", "0", "0", "0"]
    assert get_texts(axes.get_yticklabels()) == ["article (2 runs)", "book (1 runs)"]


def test_the_pictures_are_pngs(runs, tmp_path):
    plots.write(RESULTS, runs, tmp_path)
    for name in ("runs.png", "epochs.png", "digits.png"):
        with Image.open(tmp_path / name) as image:
            assert image.format == "PNG"
            assert image.width == 1080
