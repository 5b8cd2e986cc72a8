from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from drawn_digits import get_page
from matplotlib.figure import Figure
from PIL import Image

from handwriting import drawing


def test_what_was_seen_is_drawn_a_row_for_each_picture():
    """From left to right: the page with each digit's box, the 28x28 of each, its outputs.

    Outputs have the colour of their box, and stand at their digit, each digit's above the next's.
    """
    given = Image.effect_noise((300, 100), 50)
    lines = [*get_page(4, 7), *get_page(1)]
    readings = [(Path("page.png"), given, lines, "4 7 / 1"), (60 * "t\udcff", None, [], "no " * 40)]
    names = ("name", "picture", "lines", "message")
    figure = Figure()
    drawing.draw(figure, [SimpleNamespace(**dict(zip(names, r, strict=True))) for r in readings])
    left, seen, outputs, other, *empty = figure.axes  # row by row
    assert [axes.get_title() for axes in (left, outputs)] == ["page.png", "4 7 / 1"]
    assert len(other.get_title()) < 40  # of a long name the end
    assert other.get_title().endswith("t\\udcff")
    assert max(map(len, empty[1].get_title().splitlines())) < 50
    assert [axes.axison for axes in empty] == [False, False]  # a refused page has no empty chart
    assert np.array_equal(left.images[0].get_array(), np.asarray(given.convert("RGB")))
    predictions = [prediction for line in lines for prediction in line]
    for box, prediction in zip(left.patches, predictions, strict=True):
        assert (*box.get_corners()[0], *box.get_corners()[2]) == prediction.box
    images = seen.images[0].get_array()
    for prediction, (row, column) in zip(predictions, [(0, 0), (0, 28), (28, 0)], strict=True):
        assert np.array_equal(images[row : row + 28, column : column + 28], prediction.image[0])
    above = np.inf
    for bars, prediction in zip(outputs.containers, predictions, strict=True):
        assert [bar.get_height() for bar in bars] == pytest.approx(prediction.outputs.tolist())
        assert [bar.get_x() + bar.get_width() / 2 for bar in bars] == pytest.approx(range(10))
        assert max(bar.get_y() + bar.get_height() for bar in bars) < above
        above = bars[0].get_y()
    colours = [bars[0].get_facecolor() for bars in outputs.containers]
    assert colours == [box.get_edgecolor() for box in left.patches]
    assert len(set(colours)) == 3
