"""Take straight lines off a page: ruled lines, squares, printed boxes. The digits across them stay.

A line is followed from end to end: where the ink through it is no thicker than the line is
elsewhere, it is erased; where it is thicker, a stroke crosses it, and stays.
"""

from typing import NamedTuple

import cv2
import numpy as np

MAX_TILT = np.radians(22)
RESOLUTION = np.radians(0.5)


class Line(NamedTuple):
    """A line that was followed through a mask of ink."""

    length: int  # columns where it is as thin as a line
    thickness: float
    row: float  # at column 0
    slope: float
    rows: np.ndarray  # of the pixels that it has
    columns: np.ndarray


def remove_lines(mask):
    """Return the mask of ink, uint8 [height, width] of 0 and 1, without its long straight lines."""
    mask = mask.copy()
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    page = max(mask.shape)
    for label, (left, top, width, height, _) in enumerate(stats.tolist()):
        if label == 0 or max(width, height) < max(40, page / 12):
            continue
        if min(width, height) < page / 30:  # a line that crosses nothing, a printed word
            continue
        part = np.s_[top : top + height, left : left + width]
        ink = (labels[part] == label).astype(np.uint8)
        cleared = clear(ink, mask.shape)
        mask[part][(ink > 0) & (cleared == 0)] = 0
    return mask


def clear(ink, page_shape):
    """Return a component's ink without its lines, those from left to right first.

    Where lines cross, the second ones are then no longer thick. What the second ones tell about
    the frame's tilt may show more of the first.
    """
    # What is as thick as a marker's digit has no lines: twice its area by its edge is a stroke's
    # width.
    edge = ink.sum() - cv2.erode(ink, np.ones((3, 3), np.uint8)).sum()
    if max(ink.shape) < 14 * 2 * ink.sum() / max(edge, 1):
        return ink
    tilt = None
    for is_across in (True, False, True):
        if min(ink.shape) < 12:
            break
        page_width = page_shape[1 if is_across else 0]
        turned = ink if is_across else np.ascontiguousarray(ink.T)
        turned, slope = remove_level_lines(turned, page_width, tilt)
        ink = turned if is_across else turned.T
        tilt = slope if slope is not None else tilt
    return ink


def remove_level_lines(ink, page_width, tilt):
    """Return a component's ink without its lines from left to right, and their slope or None.

    Lines that aren't a digit's: two or more in parallel, as wide as the component (less what the
    `tilt` of the frame's other lines adds to its width), or one as wide as the page and thin.
    """
    height, width = ink.shape
    is_page_wide = width > 0.5 * page_width
    extent = width if tilt is None else max(width / 3, width - abs(tilt) * height)
    lines = [follow(ink, *line) for line in find_level_lines(ink, 0.35 * extent)]
    lines = [line for line in lines if line is not None and line.length > 12 * line.thickness]
    whole = [line for line in lines if line.length > 0.8 * extent]
    if not any(are_parallel(one, other, width / 2) for one in whole for other in whole):
        if not is_page_wide:
            return ink, None
        whole = [line for line in lines if line.length > max(0.6 * extent, 40 * line.thickness)]
    if not whole:
        return ink, None
    ink = ink.copy()
    for line in lines:
        if line.length >= (0.3 if is_page_wide else 0.7) * extent:
            ink[line.rows, line.columns] = 0
    return ink, whole[0].slope


def are_parallel(one, other, middle):
    """Say whether two lines run side by side, clearly apart at a column in the middle."""
    apart = abs(one.row + one.slope * middle - other.row - other.slope * middle)
    return apart > 5 * max(one.thickness, other.thickness) and abs(one.slope - other.slope) < 0.05


def find_level_lines(ink, min_votes):
    """Return (middle row at column 0, slope) of each straight line: the Hough transform's peaks."""
    found = cv2.HoughLines(
        ink,
        1,
        RESOLUTION,
        max(10, int(min_votes)),
        min_theta=np.pi / 2 - MAX_TILT,
        max_theta=np.pi / 2 + MAX_TILT,
    )
    if found is None:
        return []
    middle = ink.shape[1] / 2
    apart = max(4, ink.shape[1] // 150)
    lines = []
    for distance, angle in found.reshape(-1, 2)[:1000].tolist():
        slope = -np.cos(angle) / np.sin(angle)
        row = distance / np.sin(angle)
        at_middle = row + slope * middle
        if all(abs(at_middle - other[2]) > apart for other in lines):
            lines.append((row, slope, at_middle))
        if len(lines) > 100:
            break
    return [line[:2] for line in lines]


def follow(ink, row, slope):
    """Follow a line from the left edge, where its row is given; return a Line, or None."""
    height, width = ink.shape
    tolerance = max(2, width // 150)
    reach = 2 * tolerance + 10
    columns = np.arange(width)
    centre = np.round(row + slope * columns).astype(int)
    padded = np.pad(ink, ((reach + 1, reach + 1), (0, 0)))
    offsets = np.arange(-reach, reach + 1)
    rows = (centre + offsets[:, None]).clip(-reach, height + reach - 1)
    window = padded[rows + reach + 1, columns] > 0  # [offsets, columns]

    # The ink nearest to the line, and from there up and down to its end.
    distance = np.where(window, np.abs(offsets)[:, None], reach + 1)
    nearest = distance.argmin(axis=0)
    is_hit = distance[nearest, columns] <= tolerance
    index = np.arange(len(offsets))[:, None]
    gap_above = np.where(~window & (index < nearest), index, -1).max(axis=0)
    gap_below = np.where(~window & (index > nearest), index, len(offsets)).min(axis=0)
    thickness = gap_below - gap_above - 1
    if is_hit.sum() < 0.2 * width:
        return None
    usual = np.percentile(thickness[is_hit], 30)
    is_line = is_hit & (thickness <= 1.3 * usual + 1)
    # A lens bends lines a little. What is off its surroundings' course is a stroke beside the line.
    middle = (gap_above + gap_below) / 2 - reach
    for part, most in ((2, 2), (6, 1)):
        size = (max(9, width // part) | 1, 1)
        share = cv2.blur(is_line[None].astype(float), size)[0]
        course = cv2.blur((middle * is_line)[None], size)[0] / share.clip(1e-9)
        is_line &= np.abs(middle - course) <= most * (1 + usual / 4)
    runs = is_line & (index > gap_above) & (index < gap_below)
    where = runs.nonzero()
    inside = rows[where]
    is_valid = (inside >= 0) & (inside < height)
    return Line(is_line.sum(), usual, row, slope, inside[is_valid], columns[where[1]][is_valid])
