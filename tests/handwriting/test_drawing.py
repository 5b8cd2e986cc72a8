from pathlib import Path

import numpy as np
import pytest
from drawn_digits import get_page
from matplotlib.figure import Figure
from PIL import Image

from handwriting import drawing


def test_what_was_seen_is_drawn_a_row_for_each_picture():
    """From left to right: the page with each digit's box, the 28x28 of each, its outputs.

    Outputs have the colour of their box.
    """
    given = Image.effect_noise((300, 100), 50)
    predicted = get_page(4, 7)
    figure = Figure()
    results = [
        (Path("page.png"), given, predicted, "4 7"),
        ("t\udcff.png", None, None, "no answer"),
    ]
    drawing.draw(figure, results)
    places = {axes: axes.get_position(original=True) for axes in figure.axes}
    in_order = sorted(places, key=lambda axes: (-places[axes].y0, places[axes].x0))
    left, seen, outputs, other, _, message = in_order
    assert [axes.get_title() for axes in (left, outputs)] == ["page.png", "4 7"]
    assert [axes.get_title() for axes in (other, message)] == ["t\\udcff.png", "no answer"]
    assert np.array_equal(left.images[0].get_array(), np.asarray(given.convert("RGB")))
    boxes = [(box.get_xy(), box.get_width(), box.get_height()) for box in left.patches]
    assert boxes == [((0, 20), 50, 70), ((100, 20), 50, 70)]
    images = np.hstack([p.image[0].numpy() for p in predicted[0]])
    assert np.array_equal(seen.images[0].get_array(), images)
    for bars, prediction in zip(outputs.containers, predicted[0], strict=True):
        assert [bar.get_height() for bar in bars] == pytest.approx(prediction.outputs.tolist())
        middles = [bar.get_x() + bar.get_width() / 2 for bar in bars]
        assert middles == pytest.approx(range(10), abs=0.4)
    colours = [bars[0].get_facecolor() for bars in outputs.containers]
    assert colours == [box.get_edgecolor() for box in left.patches]
    assert colours[0] != colours[1]
