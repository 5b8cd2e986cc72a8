"""Measure how many digits `recognize.py` reads right, on the kinds of paper of `pages.py`.

Prints a Markdown table: right, refused and wrong pages of each kind. `--pictures FOLDER` adds real
pictures, whose names begin with the digit; `--small-digits` those of scikit-learn (if installed),
8x8 pixels enlarged to 240x240; `--drawn` those of `tests/handwriting/strokes.json`, drawn by mouse
events in the window, with the time from a stroke to the updated bars. `--peer` has the package
`digit-recognizer-py` (if installed) read the same instead: it reads one digit of a picture.
"""

import argparse
import functools
import json
import statistics
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from matplotlib.backend_bases import MouseEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pages

import common
import recognize
from handwriting import DIGITS, window
from handwriting.page import NoDigit
from handwriting.pictures import open_picture
from show import predict_outputs
from training import saved

STROKES = Path(__file__).resolve().parent.parent / "tests" / "handwriting" / "strokes.json"


def read(network, picture):
    """Return a picture's digits as text, "" if it is refused."""
    try:
        return " / ".join(
            "".join(str(prediction.digit) for prediction in line)
            for line in recognize.predict(network, picture)
        )
    except NoDigit:
        return ""


def get_peer():
    """Return a function as `read`, by a package that does only this: a CNN and plain resizing."""
    import digit_recognizer

    recognizer = digit_recognizer.DigitRecognizer(device="cpu")
    return lambda picture: str(recognizer.predict(picture))


def report(name, answers):
    """Print a row for pairs of what is right and what was read."""
    num_right = sum(right == answer for right, answer in answers)
    num_refused = sum(right != answer == "" for right, answer in answers)
    num_wrong = len(answers) - num_right - num_refused
    print(f"| {name} | {len(answers)} | {num_right} | {num_refused} | {num_wrong} |", flush=True)


def read_pages(reader, kind, test_set, number, first):
    num_digits = 4 if kind in pages.SEVERAL else 1
    for seed in range(first, first + number):
        chosen = slice(seed * num_digits, (seed + 1) * num_digits)
        digits = "".join(map(str, test_set.targets[chosen].tolist()))
        page = pages.draw_page(kind, test_set.data[chosen].numpy(), seed)
        yield "" if kind in pages.NO_DIGIT else digits, reader(page)


def read_small_digits(reader):
    from sklearn.datasets import load_digits

    digits = load_digits()
    for image, digit in zip(digits.images, digits.target, strict=True):
        levels = (255 - image * (255 / 16)).astype(np.uint8)
        page = Image.new("L", (360, 360), 255)
        page.paste(Image.fromarray(levels).resize((240, 240), Image.Resampling.BICUBIC), (60, 60))
        yield str(digit), reader(page)


class Mouse:
    """A window on the Agg canvas, and a mouse that draws in it."""

    def __init__(self, network):
        self.figure = Figure(figsize=(11, 6), layout="constrained")
        self.canvas = FigureCanvasAgg(self.figure)
        self.window = window.Window(self.figure, network, recognize.predict, recognize.describe)
        self.canvas.draw()

    def send(self, name, point, button=1):
        x, y = self.window.drawing_axes.transData.transform(point)
        self.canvas.callbacks.process(name, MouseEvent(name, self.canvas, x, y, button=button))

    def draw(self, stroke):
        """Draw a stroke, points of 0 to 100; the window's last update is that of its end."""
        points = [np.array(point) * window.SIDE / 100 for point in stroke]
        self.send("button_press_event", points[0])
        for point in points[1:]:
            self.send("motion_notify_event", point)
        self.send("button_release_event", points[-1])


def draw_in_window(network):
    """Draw strokes by mouse events; return pairs of digit and answer, and seconds a stroke."""
    mouse = Mouse(network)
    answers, seconds = [], []
    for drawing in json.loads(STROKES.read_text(encoding="utf-8")):
        mouse.window.clear()
        for stroke in drawing["strokes"]:
            mouse.draw(stroke)
            seconds.append(mouse.window.cost_of_update)
        answers.append((str(drawing["digit"]), read(network, mouse.window.picture)))
    return answers, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=60, help="pages of a kind (default: 60)")
    parser.add_argument("--first", type=int, default=0, help="test image to begin with")
    parser.add_argument("--only", metavar="KIND", choices=pages.KINDS, help="of paper")
    parser.add_argument("--pictures", metavar="FOLDER", help="real pictures")
    parser.add_argument("--small-digits", action="store_true", help="scikit-learn's 8x8 digits")
    parser.add_argument("--peer", action="store_true", help="ask digit-recognizer-py instead")
    parser.add_argument("--drawn", action="store_true", help="digits drawn in the window")
    settings = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    network = saved.load(DIGITS)
    reader = get_peer() if settings.peer else functools.partial(read, network)

    print("| kind | number | right | refused | wrong |\n|---|--:|--:|--:|--:|")
    if settings.pictures:
        files = [f for f in sorted(Path(settings.pictures).iterdir()) if f.name[0].isdecimal()]
        answers = [(file.name[0], reader(open_picture(file))) for file in files]
        report("real pictures", answers)
    if settings.small_digits:
        report("scikit-learn's 8x8 digits", list(read_small_digits(reader)))
    if settings.drawn:
        answers, seconds = draw_in_window(network)
        report("drawn in the window", answers)
        print(
            f"\nfrom stroke to bars: median {1000 * statistics.median(seconds):.0f} ms, "
            f"the slowest {1000 * max(seconds):.0f} ms"
        )
    if settings.pictures or settings.small_digits or settings.drawn:
        return
    test_set = common.get_dataset(train=False)
    if not settings.only and not settings.peer:
        predictions = predict_outputs(network, test_set).argmax(dim=1)
        right = (predictions == test_set.targets).sum().item()
        print(f"| MNIST's test images as they are | 10000 | {right} | 0 | {10000 - right} |")
    for kind in [settings.only] if settings.only else pages.KINDS:
        answers = list(read_pages(reader, kind, test_set, settings.number, settings.first))
        report(kind, answers)


if __name__ == "__main__":
    main()
