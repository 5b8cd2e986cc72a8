"""Digits as they are drawn and read in the tests of handwriting."""

import json

import cv2
import numpy as np
import torch
from own_handwriting import STROKES
from PIL import Image, ImageDraw

import recognize

cv2.setNumThreads(1)

DRAWINGS = json.loads(STROKES.read_text())
TEN_DIGITS = [next(d for d in DRAWINGS if d["digit"] == digit) for digit in range(10)]
SEVEN = [[(26, 18), (74, 18), (44, 88)]]


def draw_page(strokes, size=(600, 800), place=(150, 200), side=300, pen=24, ink=20, paper=235):
    """Return a page, mode L, with strokes (points of 0 to 100) drawn at a place."""
    page = Image.new("L", size, paper)
    draw = ImageDraw.Draw(page)
    for stroke in strokes:
        points = [(place[0] + side * x / 100, place[1] + side * y / 100) for x, y in stroke]
        draw.line(points, fill=ink, width=pen, joint="curve")
        for x, y in points:
            draw.ellipse((x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2), fill=ink)
    return page


def as_levels(page):
    return np.asarray(page, dtype=np.float32) / 255


def as_picture(levels):
    return Image.fromarray((levels.clip(0, 1) * 255).astype(np.uint8))


def read_digits(network, picture):
    """Return the digits of a picture, line by line."""
    return [[p.digit for p in line] for line in recognize.predict(network, picture)]


def get_page(*digits):
    """Return Predictions of these digits, one beside the other, all sure in another degree."""
    predictions = []
    for index, digit in enumerate(digits):
        outputs = torch.full((10,), 0.1)
        outputs[digit], outputs[(digit + 1) % 10] = 0.9 - 0.1 * index, 0.25
        image = torch.full((1, 28, 28), 0.1 * (1 + index))
        box = (100 * index, 20, 100 * index + 50, 90)
        predictions.append(recognize.Prediction(outputs, image, box))
    return [predictions]
