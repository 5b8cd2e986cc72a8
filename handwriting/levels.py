"""Work on grey levels, arrays [height, width]: opening, threshold, connected pieces."""

import numpy as np
from scipy import ndimage

MAX_CELLS = 256  # a side, in the search for connected pieces


def opening(levels, size):
    """Return the levels without the light features that are narrower than `size` pixels.

    That is the morphological opening by a square: the lightest level at which a square that
    covers the pixel fits. A shade, and the edge of a large area, stay as they are. Beyond the
    picture, the square fits anywhere, so that a narrow area along its edge counts as large.
    """
    padded = np.pad(levels, size, constant_values=levels.max())
    return ndimage.grey_opening(padded, size)[size:-size, size:-size]


def divide(levels):
    """Return the threshold between the dark levels and the light ones, and how clear it is.

    Otsu's method: the threshold leaves the most variance between the two classes. The
    clearness is that variance's share of the whole: 1 for two levels and nothing between
    them, 0.64 for a bell curve cut in half.
    """
    counts, edges = np.histogram(levels, bins=256)
    middles = (edges[:-1] + edges[1:]) / 2
    num_below = counts.cumsum()[:-1]
    num_above = counts.sum() - num_below
    sum_below = (counts * middles).cumsum()[:-1]
    sum_above = (counts * middles).sum() - sum_below
    difference = sum_above / num_above - sum_below / num_below
    between = num_below * num_above * difference**2 / counts.sum() ** 2
    best = between.argmax()
    return edges[best + 1], between[best] / max(levels.var(), 1e-12)


def find_pieces(mask):
    """Return the box (left, top, right, bottom) of each connected piece of a bool array.

    Pixels are connected through their eight neighbours. In a large array, cells of several
    pixels take the place of pixels; right and bottom are the first column and row outside.
    """
    cell = -(-max(mask.shape) // MAX_CELLS)
    height, width = mask.shape
    padded = np.pad(mask, ((0, -height % cell), (0, -width % cell)))
    cells = padded.reshape(len(padded) // cell, cell, -1, cell).any(axis=(1, 3))

    pieces, _ = ndimage.label(cells, structure=np.ones((3, 3)))
    return [
        (
            columns.start * cell,
            rows.start * cell,
            min(columns.stop * cell, width),
            min(rows.stop * cell, height),
        )
        for rows, columns in ndimage.find_objects(pieces)
    ]
