"""Draw what `recognize.py` saw: each picture with boxes, what the network sees, its outputs."""

import contextlib

import numpy as np
from matplotlib.patches import Rectangle

from common import RefusedError
from handwriting.pictures import to_bands


def draw(figure, results):
    """Draw a row for each result of `recognize.recognize`: (file, picture, page, message)."""
    all_axes = figure.subplots(len(results), 3, squeeze=False)
    for axes, (file, picture, page, message) in zip(all_axes, results, strict=True):
        given, seen, outputs = axes
        for side in (given, seen):
            side.set_axis_off()
        # A name may have bytes that are no text, and a $ in it is no formula.
        name = str(file).encode(errors="backslashreplace").decode()
        given.set_title(name, parse_math=False)
        outputs.set_title(message, wrap=True, parse_math=False)
        outputs.set_xticks(range(10))
        outputs.set_ylim(0, 1)
        if picture is not None:
            with contextlib.suppress(RefusedError):  # which the message tells
                given.imshow(to_bands(picture))
        if page is None:
            continue
        predictions = [prediction for line in page for prediction in line]
        seen.imshow(np.hstack([p.image[0].numpy() for p in predictions]), cmap="gray")
        seen.set_title("what the network sees")
        for index, prediction in enumerate(predictions):
            width = 0.8 / len(predictions)
            places = np.arange(10) + (index - (len(predictions) - 1) / 2) * width
            (bar, *_) = outputs.bar(places, prediction.outputs.numpy(), width)
            left, top, right, bottom = prediction.box
            colour = bar.get_facecolor()  # which tells whose outputs these are
            box = Rectangle((left, top), right - left, bottom - top, fill=False, color=colour)
            given.add_patch(box)
