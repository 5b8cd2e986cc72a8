"""Recognise your own handwriting: `python recognize.py five.jpg` prints the digits of a picture.

    python recognize.py PICTURE...                 a line for each picture
    python recognize.py                            a window to draw in
    python recognize.py --model FILE PICTURE...    another network than the one that comes along

In Python, `recognize.recognize("five.jpg")` returns the same, and draws it below a notebook's cell.

A network knows only pictures that were made as its training pictures were. `handwriting/` finds
the digits on a page. The lesson is `to_mnist`, which makes one into a picture of that kind, by the
steps by which MNIST was made, as Yann LeCun describes them on its page: NIST's black and white
scans were scaled, without distortion, to fit into a box of 20x20 pixels, which left grey levels at
the edges, and were then placed in 28x28 pixels so that their centre of mass is in the middle.
"""

import sys
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image

from common import RefusedError
from handwriting import DIGITS, drawing, pictures
from handwriting.page import find_digits, get_stroke_width, scale
from show import WINDOW_DPI, add_network_flag, check_out, show_figure, to_png
from training import command_line, saved

BOX = 20  # pixels of the 28: the longer side of a digit
CENTER = 14  # row and column of the centre of mass: MNIST's training images have 14.00, 14.01
THINNEST = 1.8  # pixels: MNIST's strokes, but for 5 %
ROW = (12, 3.5)  # inches of a picture's row in the drawing


def to_mnist(ink):
    """Make a digit's ink, float32 [height, width], 0 to 1, an image as MNIST's: [1, 28, 28]."""
    return torch.from_numpy(center(scale(thicken(ink), BOX)))


def thicken(ink):
    """Return the digit with strokes at least as thick as MNIST's thinner ones.

    LeCun needed no such step; but ballpoint would be a grey hair in a box of 20 pixels.
    """
    missing = round((THINNEST - get_stroke_width(ink)) * max(ink.shape) / BOX)
    if missing < 1:
        return ink
    margin = missing // 2 + 1
    return cv2.dilate(np.pad(ink, margin), np.ones((missing + 1, missing + 1), np.uint8))


def center(digit):
    """Place a digit [height, width] so that its centre of mass is the middle of [1, 28, 28].

    The middle is pixel 14, half a pixel right of and below the picture's own: so it is in MNIST.
    """
    height, width = digit.shape
    row = np.average(np.arange(height), weights=digit.sum(axis=1))
    column = np.average(np.arange(width), weights=digit.sum(axis=0))
    top = min(max(0, round(CENTER - row)), 28 - height)
    left = min(max(0, round(CENTER - column)), 28 - width)
    image = np.zeros((1, 28, 28), np.float32)
    image[0, top : top + height, left : left + width] = digit
    return image


class Prediction(NamedTuple):
    """What a network predicts for a digit of a page."""

    outputs: torch.Tensor  # float32 [10], 0 to 1
    image: torch.Tensor  # float32 [1, 28, 28]: what the network saw
    box: tuple  # left, top, right, bottom on the page, in pixels

    @property
    def digit(self):
        return self.outputs.argmax().item()


def predict(network, picture):
    """Return a PIL image's Predictions, a list for each written line, or raise NoDigit."""
    lines = []
    for digits in find_digits(pictures.to_bands(picture)):
        images = torch.stack([to_mnist(ink) for ink, _ in digits])
        lines.append(list(map(Prediction, network(images), images, [box for _, box in digits])))
    return lines


def describe(page):
    """Return what is printed of a page's Predictions."""
    predictions = [prediction for line in page for prediction in line]
    if len(predictions) == 1:
        (value, next_value), (digit, next_digit) = predictions[0].outputs.topk(2)
        return f"{digit} (output {value:.3f}; next is {next_digit} with {next_value:.3f})"
    digits = " / ".join(" ".join(str(p.digit) for p in line) for line in page)
    return f"{digits} (outputs {' '.join(f'{p.outputs.max():.2f}' for p in predictions)})"


class Reading:
    """What was read in a picture; printed, or at the end of a notebook's cell, it shows that.

    `lines` are lists of Predictions, `digits` all their digits in a list: both are empty without
    an answer, and `message` says why.
    """

    def __init__(self, picture, network):
        self.name, self.picture, self.lines = "", None, []
        try:
            if isinstance(picture, Image.Image):
                self.picture = pictures.turn_upright(picture)
            else:
                self.name = picture
                self.picture = pictures.open_picture(picture)
            self.lines = predict(network, self.picture)
            self.message = describe(self.lines)
        except RefusedError as error:
            self.message = f"no answer: {error}"

    @property
    def digits(self):
        return [prediction.digit for line in self.lines for prediction in line]

    def __repr__(self):
        return f"{self.name}: {self.message}" if self.name else self.message

    def _repr_png_(self):  # asked for by notebooks
        return to_png(lambda figure: drawing.draw(figure, [self]), ROW, dpi=WINDOW_DPI)


def recognize(picture, network=None):
    """Return the Reading of a picture, a file or a PIL image; of a list of them, a list.

    `network` is a `training.saved.TrainedNetwork`, or any net from images to ten outputs of 0 to
    1; without it, the one that comes along.
    """
    if network is None:
        network = saved.load(DIGITS)
    elif not isinstance(network, saved.TrainedNetwork):
        network = saved.TrainedNetwork(network)
    if isinstance(picture, list | tuple):
        return [recognize(each, network) for each in picture]
    if not isinstance(picture, str | Path | Image.Image):
        raise TypeError(f"a picture is a file's name or a PIL image, not {type(picture).__name__}")
    return Reading(picture, network)


def main():
    parser = command_line.OneLineParser(description="Recognise handwritten digits in pictures.")
    parser.add_argument("pictures", metavar="PICTURE", nargs="*", help="without one, draw it")
    parser.add_argument("--model", metavar="FILE", default=DIGITS, help="a saved network")
    add_network_flag(parser)
    parser.add_argument("--out", metavar="FILE", help="draw what was seen: a PNG, with PICTURE")
    parser.add_argument("--browser", action="store_true", help="the window, in a web browser")
    settings = parser.parse_args()
    torch.set_num_threads(1)  # the fastest for one image
    files = command_line.expand(settings.pictures)
    if settings.out is not None:
        check_out(settings.out, files)
        if not files:
            raise RefusedError("--out needs a PICTURE")
    if files and settings.browser:
        raise RefusedError("--browser opens the window to draw in: leave PICTURE out")
    network = saved.load(settings.model, settings.net)
    if not files:
        from handwriting import window

        window.show(network, predict, describe, settings.browser)
        return
    readings = []
    for file in files:
        readings.append(recognize(file, network))
        print(readings[-1], flush=True)
    if settings.out is not None:
        size = (ROW[0], ROW[1] * len(readings))
        show_figure(lambda figure: drawing.draw(figure, readings), settings.out, size)
    if not all(reading.lines for reading in readings):
        sys.exit(1)


if __name__ == "__main__":
    main()
