"""Read pictures as they come from cameras, scanners and programs: upright, of three bands."""

import contextlib
import sys
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, ImageStat

from common import RefusedError

LONGEST = 1200  # pixels of a page's longer side; a photograph is reduced to that


def open_picture(file):
    """Return a file's picture, upright and reduced. Raises RefusedError for what can't be read."""
    try:
        if not Path(file).is_file():  # a pipe would be waited for
            raise RefusedError("is no file" if Path(file).exists() else "there is no such file")
        # Through a file object, since Pillow hands an uncompressed TIFF's path to the system's
        # memory map, which its turning by the orientation tag then garbles.
        with open(file, "rb") as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start = stream.read(12)
            stream.seek(0)
            if start[4:8] == b"ftyp" and start[8:12] in (b"heic", b"heix", b"mif1", b"msf1"):
                raise RefusedError(
                    "is a HEIC picture; convert it to JPEG (on an iPhone: Settings, Camera, "
                    "Formats, Most Compatible)"
                )
            picture = Image.open(stream)  # Pillow refuses more than 179 million pixels
            num_pictures = getattr(picture, "n_frames", 1)
            if num_pictures > 1 and picture.format != "MPO":  # a camera's, with a preview in it
                print(f"{file}: only the first of {num_pictures} pictures is read", file=sys.stderr)
            picture.draft(picture.mode, (LONGEST, LONGEST))
            picture.load()
            return turn_upright(reduce(picture))
    except RefusedError:
        raise
    except Exception as error:  # a damaged file can make the readers raise anything
        raise RefusedError(f"can't be read as a picture ({error})") from error


def reduce(picture):
    """Return the picture with its longer side reduced to LONGEST, or as it is."""
    factor = LONGEST / max(picture.size)
    if factor >= 1 or picture.mode.startswith("I;"):
        return picture
    if picture.mode in ("1", "P", "PA"):
        has_alpha = picture.has_transparency_data
        picture = picture.convert("RGBA" if has_alpha else "RGB")
    size = [max(1, round(side * factor)) for side in picture.size]
    return picture.resize(size, Image.Resampling.BOX)  # the mean, which evens noise out


def turn_upright(picture):
    """Turn a picture as its EXIF data say; data that can't be read are left aside."""
    # A camera held on its side notes that in the file, and leaves the pixels as they were.
    with contextlib.suppress(Exception):  # damaged data can make the reader raise anything
        return ImageOps.exif_transpose(picture)
    return picture


def to_bands(picture):
    """Return a PIL image as uint8 [height, width, 3], at most LONGEST long."""
    if picture.mode[0] in "IF":  # 16 or 32 bits: PIL's own conversion would cut them off at 255
        return to_bands(stretch(np.asarray(picture, dtype=np.float32)))
    picture = reduce(picture)
    if picture.has_transparency_data:
        # Ink on nothing: what lies behind it is white, or black if the ink is light.
        picture = picture.convert("RGBA")
        alpha = picture.getchannel("A")
        is_seen = alpha.getextrema()[1] > 0
        ink = ImageStat.Stat(picture.convert("L"), mask=alpha).mean[0] if is_seen else 0
        paper = Image.new("RGBA", picture.size, "white" if ink < 128 else "black")
        picture = Image.alpha_composite(paper, picture)
    return np.asarray(picture.convert("RGB"))


def stretch(levels):
    """Return levels of any range as an image of mode L, but for the odd hot pixel and NaN."""
    finite = levels[np.isfinite(levels)]
    if finite.size == 0:
        raise RefusedError("holds no finite levels")
    low, high = np.percentile(finite, (0.01, 99.99)) if finite.size > 20_000 else (
        finite.min(), finite.max()
    )  # fmt: skip
    if high <= low:
        low, high = finite.min(), finite.max()
    levels = np.nan_to_num(levels, nan=np.median(finite), posinf=high, neginf=low)
    share = ((levels - low) / max(high - low, 1e-9)).clip(0, 1)
    return Image.fromarray((share * 255).astype(np.uint8))
