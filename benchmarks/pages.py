"""Draw pages with handwritten digits as a telephone photographs them: `draw_page(kind, ...)`.

The hands are MNIST's test images: each is thinned to its strokes' middle lines, which a pen of a
width in millimetres then draws on a page of so many pixels a millimetre. `python
benchmarks/pages.py FOLDER` writes a few of each kind, for the eye.
"""

import argparse
import io
import sys
from pathlib import Path

import cv2
import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import common

BALLPOINTS = [(35, 40, 95), (30, 30, 35), (25, 45, 120)]
PENCILS = [(95, 92, 92), (115, 112, 110), (80, 78, 78)]
BOARDS = [(45, 60, 52), (40, 42, 45)]
CHALKS = [(225, 225, 215), (230, 220, 160)]
PAPERS = [(235, 232, 222), (238, 238, 236), (228, 226, 205), (232, 222, 215)]
LINES = [(150, 175, 200), (165, 190, 205), (185, 170, 185)]
STRONG_LINES = [(85, 125, 165), (70, 105, 150), (120, 140, 170)]
GREY_LINES = [(130, 130, 132), (110, 112, 115), (145, 145, 145)]
PENS = [(200, 40, 45), (215, 55, 60), (175, 25, 50), (30, 120, 70), (30, 70, 175), (120, 50, 140)]
NOTES = [(250, 235, 120), (248, 165, 185), (185, 228, 140), (150, 205, 232), (250, 185, 105)]
FONTS = ["DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono", "STIXGeneral"]
# The eight neighbours of a pixel (down, right), clockwise from the one above.
RING = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]
TEXT = ["Lorem", "ipsum", "dolor", "sit", "amet", "consectetur", "adipiscing", "elit", "tempor"]


def thin(mask):
    """Return the middle lines of a bool array's strokes, one pixel wide: Zhang and Suen's way."""
    mask, before = np.pad(mask, 1), None
    while not np.array_equal(mask, before):
        before = mask
        for is_first in (True, False):
            ring = [np.roll(mask, (-down, -right), (0, 1)) for down, right in RING]
            up, right, below, left = ring[::2]
            number = np.sum(ring, axis=0)
            turns = sum((~a & b).astype(int) for a, b in zip(ring, [*ring[1:], up], strict=True))
            is_inner = right & below & (up | left) if is_first else up & left & (right | below)
            mask = mask & ~((number >= 2) & (number <= 6) & (turns == 1) & ~is_inner)
    return mask[1:-1, 1:-1]


def get_strokes(image):
    """Return an MNIST image's strokes as pairs of points float [N, 2, 2], in a box of 0 to 1."""
    large = cv2.resize(image, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    rows, columns = thin(cv2.GaussianBlur(large, None, 1.5) > 110).nonzero()
    points = np.stack([columns, rows], 1).astype(float)
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    near = distances < 5
    smooth = near @ points / near.sum(1, keepdims=True)
    first, second = np.triu(distances < 1.5).nonzero()
    low = smooth.min(0)
    return (smooth - low)[np.stack([first, second], 1)] / max(np.ptp(smooth, 0))


def pick(random, choices):
    return choices[random.integers(len(choices))]


class Sheet:
    """A page in the making: its colours float [height, width, 3] of 0 to 255, and its scale."""

    def __init__(self, random, paper=None, size_mm=None, scale=None):
        self.random = random
        self.scale = scale or random.uniform(5.5, 9)  # pixels a millimetre
        width, height = random.uniform((85, 60), (120, 85)) if size_mm is None else size_mm
        self.size = round(width * self.scale), round(height * self.scale)
        paper = pick(random, PAPERS) if paper is None else paper
        self.colours = np.full((self.size[1], self.size[0], 3), paper, dtype=np.float32)
        self.angle = np.radians(random.uniform(-4, 4))  # of what is printed on it

    def lay_on(self, mask, colour):
        """Colour the page where the mask, uint8, is 255."""
        share = (mask / 255.0)[..., None].astype(np.float32)
        self.colours += share * (np.array(colour, dtype=np.float32) - self.colours)

    def draw_lines(self, pairs, width_mm, colour):
        """Draw lines between pairs of points [N, 2, 2], in pixels, with round ends."""
        # Three times as large, since OpenCV's lines are of whole pixels.
        large = np.zeros((self.size[1] * 3, self.size[0] * 3), np.uint8)
        width = max(1, round(width_mm * self.scale * 3))
        for start, end in np.round(np.asarray(pairs) * 3).astype(int).tolist():
            cv2.line(large, start, end, 255, width)
        self.lay_on(cv2.resize(large, self.size, interpolation=cv2.INTER_AREA), colour)

    def turn(self, points, middle, angle=None):
        """Turn points about a middle, by the angle of what is printed unless one is given."""
        angle = self.angle if angle is None else angle
        cos, sin = np.cos(angle), np.sin(angle)
        return (np.asarray(points, float) - middle) @ np.array([[cos, sin], [-sin, cos]]) + middle

    def rule(self, distance_mm, width_mm, colour, squared):
        width, height = self.size
        step = distance_mm * self.scale
        offset = self.random.uniform(0, step, 2)
        far = width + height
        lines = [[(-far, y), (far, y)] for y in np.arange(offset[1] - far, far, step)]
        if squared:
            lines += [[(x, -far), (x, far)] for x in np.arange(offset[0] - far, far, step)]
        self.draw_lines(self.turn(lines, (width / 2, height / 2)), width_mm, colour)

    def write(self, strokes, size_mm, pen_mm, colour, place=None, degrees=0):
        """Write one digit; return its box's corners (left, top), (right, bottom)."""
        side = size_mm * self.scale
        points = strokes * side
        points = self.turn(points, points.mean((0, 1)), np.radians(degrees))
        points = points - points.min((0, 1))
        extent = points.max((0, 1))
        if place is None:
            margin = 0.12 * np.array(self.size)
            place = self.random.uniform(margin, self.size - margin - extent)
        points = points + place
        self.draw_lines(points, pen_mm, colour)
        return points.min((0, 1)), points.max((0, 1))

    def print_page(self, left, right):
        """Print paragraphs from left to right, in pixels, all over the page."""
        size, spacing = self.random.uniform((2.2, 1.3), (4, 1.7))
        file = font_manager.findfont(pick(self.random, FONTS))
        font = ImageFont.truetype(file, max(6, round(size * self.scale)))
        ink = (self.random.uniform(25, 80),) * 3
        for y in np.arange(0.05, 0.93, size * spacing * self.scale / self.size[1]):
            number = pick(self.random, [40] * 7 + [4, 0])
            words = " ".join(self.random.choice(TEXT, number))
            while font.getlength(words) > right - left:
                words = words.rpartition(" ")[0]
            mask = Image.new("L", self.size)
            ImageDraw.Draw(mask).text((float(left), y * self.size[1]), words, 255, font)
            self.lay_on(np.asarray(mask), ink)

    def light(self, low=0.7):
        """Light the page from one side, as a lamp does."""
        direction = self.random.uniform(0, 2 * np.pi)
        along = self.get_distance(np.array(self.size) / 2, direction) / max(self.size)
        self.colours *= (1 - (1 - low) * (along + 0.5).clip(0, 1))[..., None]

    def get_distance(self, point, direction):
        """Return each pixel's signed distance to a line through the point."""
        down, right = np.mgrid[: self.size[1], : self.size[0]].astype(np.float32)
        return (right - point[0]) * np.cos(direction) + (down - point[1]) * np.sin(direction)

    def photograph(self, noise=3.0, blur=0.8, quality=85):
        """Return the page as a JPEG's PIL image: a little blur, noise, compression."""
        colours = cv2.GaussianBlur(self.colours, None, blur) if blur else self.colours
        colours = colours + self.random.normal(0, noise, colours.shape)
        picture = Image.fromarray(colours.clip(0, 255).astype(np.uint8))
        stream = io.BytesIO()
        picture.save(stream, "JPEG", quality=quality)
        return Image.open(stream)


def draw_written(random, images, paper=None, rule=None, pen=None, ink=BALLPOINTS, degrees=0):
    """Return a Sheet, ruled first, with one digit written on it, and the digit's box."""
    sheet = Sheet(random, paper)
    if rule is not None:
        sheet.rule(*rule)
    pen = random.uniform(0.5, 0.9) if pen is None else pen
    strokes = get_strokes(images[0])
    size = random.uniform(11, 20)
    return sheet, sheet.write(strokes, size, pen, pick(random, ink), degrees=degrees)


def finish(sheet, low=None):
    sheet.light(sheet.random.uniform(0.65, 0.95) if low is None else low)
    return sheet.photograph(noise=sheet.random.uniform(1.5, 4), blur=sheet.random.uniform(0.6, 1.1))


def draw_on_page(random, images, low=None, **written):
    return finish(draw_written(random, images, **written)[0], low)


def create_rule(random, colours, widths_mm, squared):
    distance = random.choice([4, 5]) if squared else random.uniform(7, 9)
    return distance, random.uniform(*widths_mm), pick(random, colours), squared


def draw_enlarged(random, images):
    """An image as it is, dark on white, twelve times as large."""
    page = Image.new("L", (480, 600), 255)
    digit = Image.fromarray(255 - images[0]).resize((336, 336), Image.Resampling.BICUBIC)
    page.paste(digit, tuple(random.integers((10, 10), (134, 254)).tolist()))
    return page


def draw_in_box(random, images):
    sheet, (low, high) = draw_written(random, images)
    middle = (low + high) / 2
    half = max(high - low) / 2 + random.uniform(2.5, 6) * sheet.scale
    a, b, c, d = sheet.turn(middle + half * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]), middle)
    sheet.draw_lines([(a, b), (b, c), (c, d), (d, a)], random.uniform(0.25, 0.5), (60, 60, 62))
    return finish(sheet)


def draw_circled(random, images):
    sheet, colour, pen = Sheet(random), pick(random, BALLPOINTS), random.uniform(0.5, 0.9)
    low, high = sheet.write(get_strokes(images[0]), random.uniform(11, 17), pen, colour)
    middle = (low + high) / 2
    radius = np.hypot(*(high - low)) / 2 + random.uniform(1.5, 5) * sheet.scale
    angles = np.linspace(0.2, 2 * np.pi + random.uniform(0.1, 0.3), 80)
    wobble = 1 + 0.04 * np.sin(angles * 2 + random.uniform(0, 6))
    points = middle + radius * wobble[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    sheet.draw_lines(np.stack([points[:-1], points[1:]], 1), pen, colour)
    return finish(sheet)


def draw_shadow(random, images, edges_mm):
    """A shadow's edge, so many millimetres wide, goes through the digit."""
    sheet, (low, high) = draw_written(random, images)
    edge = random.uniform(*edges_mm) * sheet.scale
    point = 0.7 * random.uniform(low, high) + 0.3 * (low + high) / 2
    distance = sheet.get_distance(point, random.uniform(0, 2 * np.pi))
    share = 1 / (1 + np.exp(-(distance / (edge / 4)).clip(-50, 50)))
    sheet.colours *= (1 - (1 - random.uniform(0.4, 0.65)) * share)[..., None]
    return finish(sheet, 0.9)


def draw_blank(random, images, squared):
    sheet = Sheet(random)
    colours = pick(random, [LINES, GREY_LINES if squared else STRONG_LINES])
    sheet.rule(*create_rule(random, colours, (0.2, 0.4), squared))
    return finish(sheet)


def draw_print(random, images):
    sheet = Sheet(random)
    left = random.uniform(0.03, 0.08) * sheet.size[0]
    sheet.print_page(left, sheet.size[0] - left)
    return finish(sheet)


def draw_print_beside_margin(random):
    """Return a larger printed Sheet in coloured light, its margin's left, and its width."""
    size = random.uniform((110, 80), (170, 130))
    sheet = Sheet(random, size_mm=size, scale=random.uniform(5.5, 7))
    width, far = random.uniform((20, 4), (30, 10)) * sheet.scale
    is_left = random.random() < 0.5
    sheet.print_page(width if is_left else far, sheet.size[0] - (far if is_left else width))
    return sheet, 0 if is_left else sheet.size[0] - width, width


def finish_in_coloured_light(sheet):
    sheet.colours *= sheet.random.uniform((0.9, 0.9, 0.75), 1)
    return finish(sheet)


def draw_in_margin(random, images):
    sheet, left, width = draw_print_beside_margin(random)
    strokes, side = get_strokes(images[0]), random.uniform(8, 14) * sheet.scale
    extent = strokes.max((0, 1)) * side
    low, room = np.array([left, 0]), np.array([width, sheet.size[1]]) - extent
    place = low + room * random.uniform(0.15, 0.85, 2)
    sheet.write(strokes, side / sheet.scale, random.uniform(0.5, 0.9), pick(random, PENS), place)
    return finish_in_coloured_light(sheet)


def draw_on_note(random, images):
    sheet, *_ = draw_print_beside_margin(random)
    side = random.uniform(45, 70) * sheet.scale
    middle = random.uniform(0.55 * side, np.array(sheet.size) - 0.55 * side)
    corners = middle + side / 2 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    corners = sheet.turn(corners, middle, np.radians(random.uniform(-15, 15)))
    mask = np.zeros(sheet.size[::-1], np.uint8)
    cv2.fillPoly(mask, [np.round(corners).astype(int)], 255)
    shadow = np.roll(cv2.GaussianBlur(mask, None, sheet.scale), round(sheet.scale), 0)
    sheet.lay_on(0.4 * shadow, (0, 0, 0))
    sheet.lay_on(mask, pick(random, NOTES))
    strokes, its_side = get_strokes(images[0]), random.uniform(0.25, 0.6) * side
    place = middle - its_side / 2 + random.uniform(-0.1, 0.1, 2) * side
    pen = random.uniform(*pick(random, [(0.5, 0.9), (1.5, 3)]))
    ink = pick(random, BALLPOINTS + PENS[:3])
    sheet.write(strokes, its_side / sheet.scale, pen, ink, place)
    return finish_in_coloured_light(sheet)


def draw_crumpled(random, images):
    """Blank paper, smoothed out again: facets, each at its own slope, and creases.

    A crease has one sharp side; on the other, the paper bends.
    """
    sheet = Sheet(random)
    light = np.zeros(sheet.size[::-1])
    for number in random.integers((4, 30), (30, 120)):
        seeds = np.ones(light.shape, np.uint8)
        seeds[tuple(random.integers((0,), light.shape, (number, 2)).T)] = 0
        _, facets = cv2.distanceTransformWithLabels(
            seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
        )
        light += random.normal(0, random.uniform(0, 0.05), facets.max() + 1)[facets]
    depth = random.uniform(0.03, 0.15)
    for _ in range(random.integers(4, 30)):
        point, direction = random.uniform(0, sheet.size), random.uniform(0, 2 * np.pi)
        across = sheet.get_distance(point, direction) / sheet.scale
        along = sheet.get_distance(point, direction + np.pi / 2) / sheet.scale
        soft = 10 ** random.uniform(-0.5, 1)  # mm
        is_bent = (across > 0) & (abs(along) < random.uniform(5, 60))
        light += is_bent * random.normal(0, depth) * np.exp(-abs(across) / soft)
    light = cv2.GaussianBlur(light, None, random.uniform(0.1, 0.4) * sheet.scale)
    sheet.colours *= (1 + light - np.percentile(light, 95)).clip(0.2, 1.1)[..., None]
    return finish(sheet)


def draw_row_of(random, images, rule=None):
    """Several digits side by side, in one or two lines of at most four."""
    sheet = Sheet(random, size_mm=random.uniform((110, 75), (130, 90)))
    if rule is not None:
        sheet.rule(*rule)
    colour, pen = pick(random, BALLPOINTS), random.uniform(0.5, 0.9)
    size = random.uniform(11, 15)
    lines = [images] if len(images) <= 4 else [images[:4], images[4:]]
    y = random.uniform(0.1, 0.2) * sheet.size[1]
    for line in lines:
        x = random.uniform(0.05, 0.15) * sheet.size[0]
        for image in line:
            its_size = size * random.uniform(0.85, 1.1)
            place = (x, y + random.uniform(-1, 1) * sheet.scale)
            _, (right, _) = sheet.write(get_strokes(image), its_size, pen, colour, place)
            x = right + random.uniform(2.5, 7) * sheet.scale
        y += (size * 1.1 + random.uniform(4, 9)) * sheet.scale
    return finish(sheet)


# r is the random generator: what is given to a function is drawn in this order, before its own.
ONE_DIGIT = {
    "enlarged on a clean page": draw_enlarged,
    "ballpoint": draw_on_page,
    "marker": lambda r, i: draw_on_page(r, i, pen=r.uniform(2, 3.2), ink=[(20, 20, 25)]),
    "chalk on a board": lambda r, i: draw_on_page(
        r, i, paper=pick(r, BOARDS), pen=r.uniform(1, 1.8), ink=CHALKS
    ),
    "CMYK": lambda r, i: draw_on_page(r, i).convert("CMYK"),
    "shade down to 35 %": lambda r, i: draw_on_page(r, i, low=0.35),
    "noise, deviation 0.1": lambda r, i: draw_written(r, i)[0].photograph(noise=25),
    "pencil on squared paper": lambda r, i: draw_on_page(
        r, i, rule=(5, r.uniform(0.2, 0.35), pick(r, LINES), True),
        ink=PENCILS, pen=r.uniform(0.5, 0.8),
    ),
    "strong ruled lines": lambda r, i: draw_on_page(
        r, i, rule=create_rule(r, STRONG_LINES, (0.25, 0.45), False)
    ),
    "strong grey squares": lambda r, i: draw_on_page(
        r, i, rule=create_rule(r, GREY_LINES, (0.25, 0.4), True)
    ),
    "in a printed box": draw_in_box,
    "circled": draw_circled,
    "soft shadow through the digit": lambda r, i: draw_shadow(r, i, (4, 15)),
    "hard shadow through the digit": lambda r, i: draw_shadow(r, i, (0.2, 1)),
    "turned by up to 20 degrees": lambda r, i: draw_on_page(r, i, degrees=r.uniform(-20, 20)),
    "in the margin of print, in colour": draw_in_margin,
    "on a note on print": draw_on_note,
}  # fmt: skip
NO_DIGIT = {
    "blank ruled page": lambda r, i: draw_blank(r, i, squared=False),
    "blank squared page": lambda r, i: draw_blank(r, i, squared=True),
    "page of print": draw_print,
    "crumpled paper": draw_crumpled,
}
SEVERAL = {
    "four digits": draw_row_of,
    "four digits on ruled paper": lambda r, i: draw_row_of(
        r, i, (8, r.uniform(0.2, 0.35), pick(r, LINES), False)
    ),
}
KINDS = ONE_DIGIT | NO_DIGIT | SEVERAL


def draw_page(kind, images, seed):
    """Return a page of a kind as a PIL image, with the digits uint8 [N, 28, 28] on it."""
    return KINDS[kind](np.random.default_rng(seed), images)


def main():
    parser = argparse.ArgumentParser(description="Draw four pages of each kind, as PNGs.")
    parser.add_argument("folder", type=Path, help="where to write them")
    folder = parser.parse_args().folder
    folder.mkdir(exist_ok=True)
    test_set = common.get_dataset(train=False)
    for kind in KINDS:
        for seed in range(4):
            number = 4 if kind in SEVERAL else 1
            images = test_set.data[seed : seed + number].numpy()
            digits = "".join(map(str, test_set.targets[seed : seed + number].tolist()))
            name = f"{kind} {seed}" if kind in NO_DIGIT else f"{digits} {kind} {seed}"
            page = draw_page(kind, images, seed)
            page.convert("RGB").save(folder / f"{name.replace(' ', '-')}.png")


if __name__ == "__main__":
    main()
