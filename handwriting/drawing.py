"""Draw what `recognize.py` saw: each picture with boxes, what the network sees, its outputs."""

import contextlib
import textwrap

import numpy as np

from common import RefusedError
from handwriting.pictures import to_bands


def draw(figure, readings):
    """Draw a row for each `recognize.Reading`."""
    all_axes = figure.subplots(len(readings), 3, squeeze=False)
    for axes, reading in zip(all_axes, readings, strict=True):
        given, seen, outputs = axes
        seen.set_axis_off()
        outputs.set_axis_off()
        given.set(xticks=[], yticks=[], frame_on=reading.picture is not None)
        given.set_title(as_title(reading.name, 38), parse_math=False)
        outputs.set_title(textwrap.fill(reading.message, 45), parse_math=False)
        if reading.picture is not None:
            with contextlib.suppress(RefusedError):  # which the message tells
                given.imshow(to_bands(reading.picture))
        if reading.lines:
            draw_predictions(given, seen, outputs, reading.lines)


def draw_predictions(given, seen, outputs, lines):
    """Draw each digit's box, the 28x28 of it, and its ten outputs, all three in reading order."""
    from matplotlib.patches import Rectangle

    columns = max(map(len, lines))
    rows = [np.hstack([p.image[0].numpy() for p in line]) for line in lines]
    rows = [np.pad(row, ((0, 0), (0, 28 * columns - row.shape[1]))) for row in rows]
    seen.imshow(np.vstack(rows), cmap="gray")
    seen.set_title("what the network sees")
    predictions = [prediction for line in lines for prediction in line]
    outputs.set_axis_on()
    outputs.set_xticks(range(10))
    floors = 1.1 * np.arange(len(predictions))[::-1]  # the first digit's bars stand at the top
    outputs.set_ylim(0, floors[0] + 1.05)
    if len(predictions) > 1:
        outputs.set_yticks(floors, [p.digit for p in predictions])
        outputs.grid(axis="y")
    for index, prediction in enumerate(predictions):
        colour = f"C{index % 10}"  # which tells whose outputs these are
        outputs.bar(range(10), prediction.outputs.numpy(), bottom=floors[index], color=colour)
        left, top, right, bottom = prediction.box
        box = Rectangle((left, top), right - left, bottom - top, fill=False, color=colour)
        given.add_patch(box)


def as_title(name, length=60):
    """Return a file's name as matplotlib can draw it, of a long one the end."""
    text = str(name).encode(errors="backslashreplace").decode()  # of bytes that are no text
    return text if len(text) <= length else f"…{text[1 - length :]}"
