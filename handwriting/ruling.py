"""Take straight lines off a page: ruled lines, squares, printed boxes. The digits across them stay.

A line is followed from end to end: where the ink through it is no thicker than the line is
elsewhere, it is erased; where it is thicker, a stroke crosses it, and stays.
"""

import cv2
import numpy as np

MAX_TILT = np.radians(22)
RESOLUTION = np.radians(0.5)


def remove_lines(mask):
    """Return the mask of ink, uint8 [height, width] of 0 and 1, without its long straight lines."""
    mask = mask.copy()
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    page = max(mask.shape)
    for label, (left, top, width, height, _) in enumerate(stats.tolist()):
        if label == 0 or max(width, height) < page / 12 or max(width, height) < 40:
            continue
        part = np.s_[top : top + height, left : left + width]
        ink = (labels[part] == label).astype(np.uint8)
        if width > 12 and height > 12:
            # Across first: where the lines cross, the other ones are then no longer thick.
            cleared = remove_level_lines(ink, is_page_wide=width > 0.5 * mask.shape[1])
            cleared = remove_level_lines(
                np.ascontiguousarray(cleared.T), is_page_wide=height > 0.5 * mask.shape[0]
            ).T
            mask[part][(ink > 0) & (cleared == 0)] = 0
    return mask


def remove_level_lines(ink, is_page_wide):
    """Return a component's ink without its lines from left to right, if they are no digit's.

    A digit has no two parallel lines as wide as itself, and no stroke as wide as the page.
    """
    width = ink.shape[1]
    lines = find_level_lines(ink, 0.35 * width if is_page_wide else 0.7 * width)
    followed = [follow(ink, *line) for line in lines]
    followed = [line for line in followed if line is not None]
    whole = [line for line in followed if line[0] > (0.7 if is_page_wide else 0.8)]
    if len(whole) < (1 if is_page_wide else 2):
        return ink
    ink = ink.copy()
    for support, rows, columns in followed:
        if support > (0.3 if is_page_wide else 0.7):
            ink[rows, columns] = 0
    return ink


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
    lines = []
    for distance, angle in found.reshape(-1, 2)[:4000].tolist():
        slope = -np.cos(angle) / np.sin(angle)
        row = distance / np.sin(angle)
        at_middle = row + slope * middle
        if all(abs(at_middle - other[2]) > 4 for other in lines):
            lines.append((row, slope, at_middle))
        if len(lines) > 200:
            break
    return [line[:2] for line in lines]


def follow(ink, row, slope):
    """Follow a line; return its share of the width, and rows and columns of the pixels it has.

    None if there is nothing thin along it.
    """
    height, width = ink.shape
    tolerance = max(2, width // 150)
    reach = 4 * tolerance + 12
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
    if usual > max(6, max(ink.shape) / 40):
        return None
    is_line = is_hit & (thickness <= 1.5 * usual + 1)
    runs = is_line & (index > gap_above) & (index < gap_below)
    where = runs.nonzero()
    inside = rows[where]
    is_valid = (inside >= 0) & (inside < height)
    return is_line.mean(), inside[is_valid], columns[where[1]][is_valid]
