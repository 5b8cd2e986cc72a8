"""Work on grey levels, arrays [height, width]: blur, opening, threshold, connected pieces."""

import numpy as np

MAX_CELLS = 256  # a side, in the search for connected pieces


def blur(levels, radius):
    """Return for each pixel the mean of the square of `radius` pixels around it, as float32."""
    size = 2 * round(radius) + 1
    if size == 1:
        return levels
    for axis in (0, 1):
        padding = [(0, 0), (0, 0)]
        padding[axis] = (size // 2 + 1, size // 2)
        padded = np.pad(levels, padding, mode="edge")
        sums = np.moveaxis(padded.cumsum(axis=axis, dtype=np.float64), axis, 0)
        levels = np.moveaxis((sums[size:] - sums[:-size]) / size, 0, axis)
    return levels.astype(np.float32)


def opening(levels, size):
    """Return the levels without the light features that are narrower than `size` pixels.

    That is the morphological opening by a square: the lightest level at which a square that
    covers the pixel fits. A shade, and the edge of a large area, stay as they are. Beyond the
    picture, the square fits anywhere, so that a narrow area along its edge counts as large.
    """
    padded = np.pad(levels, size - 1, constant_values=levels.max())
    return spread(spread(padded, size, np.minimum), size, np.maximum)


def spread(levels, size, choose):
    """Return the least or largest level of each square of `size` pixels within the levels.

    `choose` is `np.minimum` or `np.maximum`. Both sides are shorter by size - 1.
    """
    for axis in (0, 1):
        rows = np.moveaxis(levels, axis, 0)
        reach = 1  # each row is the choice of so many; it doubles until it is the square's side
        while reach < size:
            step = min(reach, size - reach)
            rows = choose(rows[:-step], rows[step:])
            reach += step
        levels = np.moveaxis(rows, 0, axis)
    return levels


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

    # A run of cells in a row joins the runs that it touches in the row above.
    edges = np.diff(np.pad(cells, ((0, 0), (1, 1))), axis=1)
    pieces = []
    runs_above = []  # (first column, first column outside, piece)
    for row, line in enumerate(edges):
        edges_of_row = line.nonzero()[0].tolist()
        runs = []
        for start, end in zip(edges_of_row[::2], edges_of_row[1::2], strict=True):
            piece = {"box": (start, row, end, row + 1)}
            for other_start, other_end, other in runs_above:
                if other_start <= end and start <= other_end:
                    _merge(piece, other)
            runs.append((start, end, piece))
            pieces.append(piece)
        runs_above = runs

    boxes = [[side * cell for side in piece["box"]] for piece in pieces if "part_of" not in piece]
    return [
        (left, top, min(right, width), min(bottom, height)) for left, top, right, bottom in boxes
    ]


def _merge(piece, other):
    while "part_of" in piece:
        piece = piece["part_of"]
    while "part_of" in other:
        other = other["part_of"]
    if piece is not other:
        piece["part_of"] = other
        first, second = piece["box"], other["box"]
        other["box"] = (*map(min, first[:2], second[:2]), *map(max, first[2:], second[2:]))
