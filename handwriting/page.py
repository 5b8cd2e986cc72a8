"""From a page to its digits: `find_digits` cuts out the ink of each, line by line.

Ink is what is darker than its surroundings (or lighter, on a board) and narrow. That is asked
relative to the paper beside it, so that a shadow changes nothing: ink that reflects a third of
what paper does also reflects a third in the shade. What is left are connected components: digits,
and what isn't one: lines, frames, print, dirt.
"""

import contextlib
from typing import NamedTuple

import cv2
import numpy as np

from common import RefusedError
from handwriting import ruling

MAX_WIDTHS = (1 / 3, 1 / 8)  # of strokes, in parts of the page's longer side
SHARES = (0.5, 0.35, 0.25, 0.12)  # of the strongest ink: from there on, a pixel is ink
MIN_CONTRAST = 0.05  # of the paper's light; below it, a page counts as empty
MIN_SEPARABILITY = 0.78  # see `get_separability`; noise has 0.64, digits 0.83 or more
MOST_BESIDE = 0.3  # of a stroke's ink, on paper half its width from it
THICKEST = 6.5  # strokes, in parts of 1/20 of the digit's longer side: MNIST's are thinner
MIN_DETAIL = 5  # grey levels, of what is narrower than an eighth of a small copy of the page
SMALL = 200  # pixels of the longer side of a copy, in which a note or the kind of ink is looked for
MIN_DIFFERENCE = 0.06  # of a note's colour from the page's, in shares of red, green and blue
MIN_COLOUR = 0.15  # of the paper's light: how much more of one colour a coloured pen takes
MAX_COMPONENTS = 250
MAX_DIGITS = 60
LINE = -1  # the label of pixels that were erased with a line: neither paper nor a digit

EMPTY = "the page is empty"
NOTHING = "no digit stands out from the background"
PRINT = "there is print, or noise, but no digit stands out"


class NoDigit(RefusedError):
    """The picture shows no digit; the message says what is seen instead."""


class Digit(NamedTuple):
    """A digit of a page."""

    ink: np.ndarray  # float32 [height, width], 0 (paper) to 1 (ink), cut out
    box: tuple  # left, top, right, bottom in the page's pixels; the last two are outside


class Component(NamedTuple):
    """Connected pixels of ink: their box, and their labels."""

    left: int
    top: int
    right: int
    bottom: int
    labels: tuple

    @property
    def width(self):
        return self.right - self.left

    @property
    def height(self):
        return self.bottom - self.top

    @property
    def size(self):
        return max(self.width, self.height)


def find_digits(bands):
    """Return the digits of a page, uint8 [height, width, 3]: a list for each written line.

    If there is a note on it, that one's. Raises NoDigit for an empty or merely ruled page, a page
    of print, or noise.
    """
    bands = blur(bands, max(bands.shape) / 1000)
    if (note := find_note(bands)) is not None:
        size, to_note = note
        with contextlib.suppress(NoDigit):
            lines = find_on_sheet(cv2.warpAffine(bands, to_note, size))
            to_page = cv2.invertAffineTransform(to_note)
            return [[d._replace(box=turn(d.box, to_page)) for d in line] for line in lines]
    return find_on_sheet(bands)


def find_note(bands):
    """Return the size of a note on the page, and the affine map [2, 3] onto it; or None.

    A note is a rectangle of another colour than most of the page.
    """
    small = scale(bands, SMALL)
    if (small == small[..., :1]).all():  # grey; the window asks at every stroke
        return None
    paper = close(small, 11).astype(np.float32)  # without what stands on it
    hue = paper / paper.sum(axis=2, keepdims=True).clip(96)
    is_other = np.abs(hue - np.median(hue, axis=(0, 1))).sum(axis=2) > MIN_DIFFERENCE
    edges, _ = cv2.findContours(
        is_other.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    if not edges:
        return None
    edge = max(edges, key=cv2.contourArea)
    middle, size, angle = cv2.minAreaRect(edge)
    if min(size) < SMALL / 7 or cv2.contourArea(edge) < 0.9 * size[0] * size[1]:
        return None
    if abs(angle) > 45:
        size, angle = size[::-1], angle - np.copysign(90, angle)
    factor = max(bands.shape) / SMALL
    size = (np.array(size) - 6) * factor  # inside its edge
    middle = (np.array(middle) + 0.5) * factor
    to_note = cv2.getRotationMatrix2D(middle, angle, 1)
    to_note[:, 2] += size / 2 - middle
    return size.astype(int).tolist(), to_note


def turn(box, affine):
    """Return the box around a box that was turned."""
    left, top, right, bottom = box
    corners = np.array([[(left, top), (right, top), (right, bottom), (left, bottom)]], np.float32)
    x, y, width, height = cv2.boundingRect(cv2.transform(corners, affine))
    return x, y, x + width, y + height


def find_on_sheet(bands):
    """Return the digits of a sheet, in lines; raises NoDigit."""
    if is_ink_light(bands):
        bands = 255 - bands
    reason = EMPTY
    for max_width in MAX_WIDTHS:
        found = []
        for ink in measure_ink(bands, max_width):
            try:
                lines = find_stable(ink)
            except NoDigit as error:
                reason = str(error)
            else:
                found.append(lines)
                if get_size(lines) > max(bands.shape) / 10:
                    break  # if it is smaller, other ink may be the digit
        if found:
            return max(found, key=get_size)
    raise NoDigit(reason)


def find_stable(ink):
    """Return the digits of a map of ink in lines, if two thresholds agree; raises NoDigit.

    Ink has clear edges: another threshold finds the same boxes. Fragments, a digit with a piece of
    line, or a shade change from one to the next.
    """
    reason, before, stable = EMPTY, None, None
    for threshold in get_thresholds(ink):
        try:
            lines = separate(ink, threshold)
        except NoDigit as error:
            reason, before = str(error), None
            continue
        reason = NOTHING
        is_larger = stable is None or get_size(lines) > 1.5 * get_size(stable)
        if before and is_larger and are_alike(before, lines):
            stable = before
            if get_size(stable) > max(ink.shape) / 10:
                break  # if it is smaller, fainter ink may be the digit
        before = lines
    if stable is None:
        raise NoDigit(reason)
    return stable


def get_size(lines):
    """Return the longer side of the largest of the digits."""
    return max(max(digit.ink.shape) for line in lines for digit in line)


def are_alike(lines, others):
    """Say whether two findings have the same number of digits in about the same boxes."""
    boxes, other_boxes = (np.array([d.box for line in f for d in line]) for f in (lines, others))
    if boxes.shape != other_boxes.shape:
        return False
    return np.abs(boxes - other_boxes).max() <= 0.06 * get_size(lines) + 2


def scale(levels, longest):
    """Scale to a longer side of so many pixels; those of a smaller copy are means."""
    factor = longest / max(levels.shape[:2])
    height, width = (max(1, round(side * factor)) for side in levels.shape[:2])
    return cv2.resize(levels, (width, height), interpolation=cv2.INTER_AREA)


def blur(levels, sigma):
    return cv2.GaussianBlur(levels, None, sigma) if sigma > 0.3 else levels


def is_ink_light(bands):
    """Say whether the ink is lighter than the paper, as chalk is.

    Most of a page is paper. So the median of a large surrounding is paper, and what is narrow and
    differs most from it is ink.
    """
    grey = bands.mean(axis=2).astype(np.uint8)
    if max(grey.shape) > SMALL:
        grey = scale(grey, SMALL)
    around = grey.astype(float) - cv2.medianBlur(grey, max(grey.shape) // 4 * 2 + 1)
    # Near a table's edge, that median is the table's: of the page's, the nearer one counts.
    whole = grey.astype(float) - np.median(grey)
    difference = np.where(np.abs(around) < np.abs(whole), around, whole)
    difference[around * whole < 0] = 0
    # A third is needed for a digit cut out closely, drawn with a marker: then the contrast is high,
    # or it is a mere shade.
    for part, least in ((8, 12), (3, 60), (8, MIN_DETAIL)):
        width = max(3, max(grey.shape) // part)
        narrow = close(grey, width).astype(float) + close(255 - grey, width) - 255
        if narrow.max() > least:
            break
    else:
        raise NoDigit(EMPTY)
    return (difference[narrow > narrow.max() / 2] ** 3).sum() > 0


def close(levels, width):
    """Return the levels without the dark features that are narrower than `width` pixels.

    That is the morphological closing by a square. Beyond the picture, the square fits anywhere, so
    that a narrow area along its edge counts as large.
    """
    width |= 1  # an even square would move the picture by a pixel
    padded = cv2.copyMakeBorder(levels, *[width] * 4, cv2.BORDER_CONSTANT, value=(0, 0, 0))
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, np.ones((width, width), np.uint8))
    return closed[width:-width, width:-width]


def measure_ink(bands, max_width):
    """Yield maps of how much ink each pixel has, float32 [height, width], 0 to 1.

    The morphological closing removes what is dark and narrower than `max_width`, a part of the
    page's longer side; it keeps the edges of shadows and tables. First comes ink that is seen in
    all of the colours, as pencil and ballpoint are, and printed blue lines hardly; then, ink that
    is seen in one; then, how much more so in one than in another: a red pen's is, print isn't.
    """
    paper = close(bands, max(3, round(max(bands.shape) * max_width))).astype(np.float32)
    ink = 1 - bands / paper.clip(32)
    ink -= np.median(ink, axis=(0, 1))  # noise: the closing follows the lightest pixels
    ink = ink.clip(0)
    weakest, strongest = ink.min(axis=2), ink.max(axis=2)
    if get_peak(weakest) > 0.3 * get_peak(strongest):
        yield weakest
    yield strongest
    colour = strongest - weakest
    colour = (colour - np.median(colour)).clip(0)
    if get_peak(colour) > MIN_COLOUR:
        yield colour


def get_peak(ink):
    return blur(ink, max(ink.shape) / 500).max()


def get_thresholds(ink):
    """Return the levels to try, from the strongest ink downwards, that noise doesn't reach."""
    noise = 1.48 * np.median(np.abs(ink - cv2.GaussianBlur(ink, None, 2)))
    floor = max(MIN_CONTRAST, 4 * noise)
    peak = get_peak(ink)
    if peak < floor:
        return []
    usual = np.median(ink[ink > 0.4 * peak])
    return [share * usual for share in SHARES if share * usual > floor / 2]


def separate(ink, threshold):
    """Return the digits of a map of ink, in lines; raises NoDigit."""
    whole_mask = (ink > threshold).astype(np.uint8)
    if len(find_components(whole_mask)[0]) > MAX_COMPONENTS:
        raise NoDigit(PRINT)
    mask = ruling.remove_lines(whole_mask)
    is_line = whole_mask > mask
    is_ruled = is_line.sum() > max(mask.shape)
    components, labels = find_components(mask)
    labels[is_line] = LINE
    if is_ruled:  # leave out the dots where lines crossed
        components = [c for c in components if c.size > max(mask.shape) / 100]
    if len(components) > MAX_COMPONENTS:
        raise NoDigit(PRINT)
    components = leave_out_frames(components)
    components = leave_out_edges(components, mask.shape, is_ruled)
    lines = [
        [digit for component in line if (digit := cut_out(ink, labels, component))]
        for line in arrange(group(components, max(mask.shape)))
    ]
    lines = [line for line in lines if line]
    if not lines:
        raise NoDigit(NOTHING)
    return lines


def find_components(mask):
    """Return the connected components (through eight neighbours) and the labels [height, width]."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    components = [
        Component(left, top, left + width, top + height, (label,))
        for label, (left, top, width, height, area) in enumerate(stats.tolist())
        if label > 0 and area > 3
    ]
    return components, labels


def leave_out_frames(components):
    """Leave out what goes around something else: a box, a circle."""

    def is_inside(inner, outer):
        return (
            inner.left > outer.left
            and inner.top > outer.top
            and inner.right < outer.right
            and inner.bottom < outer.bottom
            and inner.size > outer.size / 4
        )

    return [
        outer for outer in components if not any(is_inside(inner, outer) for inner in components)
    ]


def leave_out_edges(components, shape, is_ruled):
    """Leave out what reaches the picture's edge: a table, a neighbour's half, rest of a line.

    Unless there is nothing else, on paper that isn't ruled: then the digit was cut out closely.
    """
    height, width = shape
    inside = [
        c for c in components if c.left > 0 and c.top > 0 and c.right < width and c.bottom < height
    ]
    largest = max((c.size for c in inside if not is_flat(c)), default=0)
    is_worth_it = largest > max(max(shape) / 30, max((c.size for c in components), default=0) / 4)
    return inside if is_worth_it or is_ruled else components


def is_flat(component):
    """Say whether a component is a stroke from left to right, which no digit is."""
    return component.width > 2.5 * component.height


def group(components, longest):
    """Return a Component for each digit: the large ones, with what belongs to each.

    Raises NoDigit if there are none, or print.
    """
    upright = [c for c in components if not is_flat(c)]
    if not upright:
        raise NoDigit(EMPTY if not components else NOTHING)
    size = max(c.size for c in upright)
    if size < max(8, longest / 60) and longest > 60:
        raise NoDigit(NOTHING)
    mains = [c for c in upright if c.size > 0.55 * size]
    others = [c for c in components if c not in mains and c.size > size / 8]
    num_alike = sum(0.5 * size < c.size for c in components)
    num_small = sum(c.size > size / 8 for c in components) - num_alike
    is_print = num_alike > 12 and (size < longest / 20 or num_small > num_alike / 2)
    if num_alike > MAX_DIGITS or is_print:
        raise NoDigit(PRINT)
    digits = list(mains)
    is_growing = True
    while is_growing:
        is_growing = False
        for part in list(others):
            near = [d for d in digits if is_part(part, d, size)]
            if near:
                nearest = min(near, key=lambda d: sum(get_gap(part, d)))
                digits[digits.index(nearest)] = join(nearest, part)
                others.remove(part)
                is_growing = True
    return join_broken(digits, size)


def join_broken(digits, size):
    """Join what lies above one another, too near for two lines: a digit in pieces."""
    digits = sorted(digits, key=lambda d: d.top)
    joined = []
    for digit in digits:
        for index, above in enumerate(joined):
            across, down = get_gap(digit, above)
            both = max(digit.bottom, above.bottom) - min(digit.top, above.top)
            if across < size / 12 and -size / 4 < down < size / 8 and both < 1.6 * size:
                joined[index] = join(above, digit)
                break
        else:
            joined.append(digit)
    return joined


def get_gap(one, other):
    """Return the distance between two boxes, across and down; negative: they overlap."""
    across = max(one.left - other.right, other.left - one.right)
    down = max(one.top - other.bottom, other.top - one.bottom)
    return across, down


def is_part(part, digit, size):
    """Say whether a smaller component belongs to a digit, as the bar of a 5 does."""
    across, down = get_gap(part, digit)
    if is_flat(part):
        is_below = part.top > digit.top + 0.75 * digit.height
        if is_below and (part.width > 0.8 * digit.width or down > 0):
            return False  # an underline
        is_above = part.bottom < digit.top + digit.height / 2
        return max(across, down) < size / (2.2 if is_above else 5) and part.width < 1.5 * size
    return max(across, down) < size / 5


def join(one, other):
    return Component(
        min(one.left, other.left),
        min(one.top, other.top),
        max(one.right, other.right),
        max(one.bottom, other.bottom),
        one.labels + other.labels,
    )


def arrange(digits):
    """Return the digits in lines, from top to bottom, each from left to right."""
    lines = []
    for digit in sorted(digits, key=lambda d: d.top + d.bottom):
        middle = (digit.top + digit.bottom) / 2
        for line in lines:
            if any(d.top < middle < d.bottom for d in line):
                line.append(digit)
                break
        else:
            lines.append([digit])
    return [sorted(line, key=lambda d: d.left) for line in lines]


def cut_out(ink, labels, component):
    """Return a component as a Digit, or None if its strokes aren't a pen's."""
    margin = max(2, component.size // 6)
    height, width = ink.shape
    top, bottom = max(0, component.top - margin), min(height, component.bottom + margin)
    left, right = max(0, component.left - margin), min(width, component.right + margin)
    levels = ink[top:bottom, left:right]
    labels = labels[top:bottom, left:right]
    mask = np.isin(labels, component.labels)
    reach = max(1, round(component.size / 60))
    square = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    around = cv2.dilate(mask.astype(np.uint8), square) > 0
    is_paper = (labels == 0) & ~around
    paper = np.median(levels[is_paper]) if is_paper.any() else 0.0
    full = np.median(levels[mask])
    if full - paper < MIN_CONTRAST or get_separability(levels[mask | is_paper]) < MIN_SEPARABILITY:
        return None
    # The scans that MNIST was made from were black and white. So a level is either: all but
    # those near the middle, an edge's, for smooth edges also where a digit is small.
    share = (levels - paper) / (full - paper)
    cut = ((share - 0.3) / 0.4).clip(0, 1) * around
    x, y, width, height = cv2.boundingRect((cut > 0.5).astype(np.uint8))
    cut = np.ascontiguousarray(cut[y : y + height, x : x + width], dtype=np.float32)
    stroke_width = get_stroke_width(cut)
    if stroke_width > THICKEST:
        return None
    # On either side of a stroke is paper; beside a crease, a shade that fades.
    distance = cv2.distanceTransform(1 - mask.astype(np.uint8), cv2.DIST_L2, 3)
    distance -= max(2, stroke_width * component.size / 40)
    beside = share[(distance > 0) & (distance < 2) & (labels == 0)]
    if beside.size and np.percentile(beside, 80) > MOST_BESIDE:
        return None
    return Digit(cut, (left + x, top + y, left + x + width, top + y + height))


def get_separability(levels):
    """Return how well Otsu's threshold divides the levels: 1 for two levels and none between.

    It is the variance between the two classes as a share of the whole; a bell curve cut in half
    has 0.64.
    """
    low, high = levels.min(), levels.max()
    scaled = ((levels - low) * (255 / max(high - low, 1e-9))).astype(np.uint8)
    threshold, _ = cv2.threshold(scaled.reshape(-1, 1), 0, 1, cv2.THRESH_OTSU)
    is_above = scaled > threshold
    share = is_above.mean()
    if share in (0, 1):
        return 0.0
    difference = scaled[is_above].mean() - scaled[~is_above].mean()
    return share * (1 - share) * difference**2 / scaled.var()


def get_stroke_width(ink):
    """Return the mean width of a digit's strokes, in parts of 1/20 of its longer side."""
    # A stroke has an edge on either side, and an edge's length is the sum of its gradient.
    down, right = np.gradient(np.pad(ink, 1))
    return 2 * ink.sum() / np.hypot(down, right).sum() * 20 / max(ink.shape)
