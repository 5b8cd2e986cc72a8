"""A seven, in each way in which a picture can hold it."""

import numpy as np
import pytest
import torch
from drawn_digits import SEVEN, as_levels, as_picture, draw_page, read_digits
from PIL import Image, ImageFile, ImageOps

import recognize
from common import RefusedError
from handwriting import pictures


def as_transparent(ink):
    alpha = Image.fromarray(255 - np.asarray(draw_page(SEVEN, ink=0, paper=255)))
    picture = Image.new("RGBA", alpha.size, (*ink, 0))
    picture.putalpha(alpha)
    return picture


def as_sixteen_bit(darkest, lightest):
    levels = darkest + as_levels(draw_page(SEVEN)) * (lightest - darkest)
    return Image.fromarray(levels.astype(np.uint16))


def as_palette():
    return draw_page(SEVEN).convert("P", palette=Image.Palette.ADAPTIVE, colors=4)


def as_coloured(ink, paper):
    mask = Image.fromarray(255 - np.asarray(draw_page(SEVEN, ink=0, paper=255)))
    return Image.composite(
        Image.new("RGB", mask.size, ink), Image.new("RGB", mask.size, paper), mask
    )


def with_noise(deviation):
    random = np.random.default_rng(1)
    page = as_levels(draw_page(SEVEN))
    return as_picture(page + random.normal(0, deviation, page.shape))


def with_hard_shadow():
    page = as_levels(draw_page(SEVEN))
    page[:, :180] *= 0.5  # beside the digit; through it, see docs/own-handwriting.md
    return as_picture(page)


PICTURES = {
    "grey.png": lambda: draw_page(SEVEN),
    "light ink on a dark ground.png": lambda: draw_page(SEVEN, ink=240, paper=20),
    "black and white.png": lambda: draw_page(SEVEN).convert("1"),
    "colour.jpg": lambda: as_coloured("navy", "cornsilk"),
    "yellow on white.png": lambda: as_coloured("yellow", "white"),
    "as dark as its paper.png": lambda: as_coloured((255, 0, 0), (0, 128, 0)),
    "palette.png": as_palette,
    "black on nothing.png": lambda: as_transparent((0, 0, 0)),
    "white on nothing.png": lambda: as_transparent((255, 255, 255)),
    "cmyk.jpg": lambda: draw_page(SEVEN).convert("CMYK"),
    "16 bit.png": lambda: as_sixteen_bit(3000, 60000),
    "16 bit, dark.tif": lambda: as_sixteen_bit(10, 900),
    "32 bit.tif": lambda: Image.fromarray(as_levels(draw_page(SEVEN))),
    "webp.webp": lambda: draw_page(SEVEN),
    "grey paper.png": lambda: draw_page(SEVEN, ink=90, paper=140),
    "pencil.png": lambda: draw_page(SEVEN, ink=200, paper=235),
    "noise.png": lambda: with_noise(0.1),
    "shadow's edge.jpg": with_hard_shadow,
    "ballpoint.png": lambda: draw_page(SEVEN, pen=3),
    "marker.png": lambda: draw_page(SEVEN, pen=60),
    "in a corner.png": lambda: draw_page(SEVEN, place=(-40, -10), side=200),
    "a small digit.png": lambda: draw_page(SEVEN, side=60, pen=5),
    "a scan.png": lambda: draw_page(SEVEN, (2480, 3508), (900, 1200), side=140, pen=8),
    "a closely cut one.png": lambda: draw_page(SEVEN).crop((200, 225, 400, 490)),
    "on a dark table.png": lambda: ImageOps.expand(draw_page(SEVEN), 40, 50),
    "a tiny one.png": lambda: draw_page(SEVEN).crop((140, 190, 460, 510)).resize((28, 28)),
}


@pytest.mark.parametrize("name", PICTURES)
def test_any_picture_of_a_seven_is_a_seven(name, network, tmp_path):
    PICTURES[name]().save(tmp_path / name)
    picture = pictures.open_picture(tmp_path / name)
    [[prediction]] = recognize.predict(network, picture)
    assert prediction.digit == 7
    image = prediction.image
    assert (image.dtype, image.shape) == (torch.float32, (1, 28, 28))
    assert (image.min(), image.max()) == (0, pytest.approx(1, abs=0.1))


@pytest.mark.parametrize(
    ("orientation", "suffix"), [*((n, "jpg") for n in range(1, 9)), (2, "tif"), (6, "tif")]
)
def test_a_photograph_is_turned_as_its_file_says(orientation, suffix, network, tmp_path):
    ways = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the inverse of each, a Transpose
    drawn = draw_page(SEVEN)
    stored = drawn.transpose(Image.Transpose(ways[orientation])) if orientation > 1 else drawn
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / f"photograph.{suffix}", exif=exif)
    opened = pictures.open_picture(tmp_path / f"photograph.{suffix}")
    assert opened.size == drawn.size
    difference = np.asarray(opened, dtype=int) - np.asarray(drawn)
    assert abs(difference).mean() < 1
    assert read_digits(network, opened) == [[7]]


@pytest.mark.parametrize("name", ["garbage.jpg", "garbage.webp"])
def test_unreadable_metadata_is_left_aside(name, network, tmp_path):
    draw_page(SEVEN).save(tmp_path / name, exif=b"Exif\0\0garbage")
    assert read_digits(network, pictures.open_picture(tmp_path / name)) == [[7]]


def test_a_hot_pixel_and_a_nan_change_nothing(network):
    levels = np.asarray(as_sixteen_bit(100, 900)).copy()
    levels[0, 0] = 65535
    assert read_digits(network, Image.fromarray(levels)) == [[7]]
    levels = as_levels(draw_page(SEVEN)).copy()
    levels[:300, :100] = np.nan  # an area without levels is as bright as paper
    assert read_digits(network, Image.fromarray(levels)) == [[7]]
    assert pictures.to_bands(Image.fromarray(levels))[:300, :100].min() == 255


def test_a_huge_picture_is_read_reduced(network, tmp_path):
    draw_page(SEVEN).resize((6000, 8000)).save(tmp_path / "huge.jpg")
    picture = pictures.open_picture(tmp_path / "huge.jpg")
    assert max(picture.size) <= pictures.LONGEST
    assert read_digits(network, picture) == [[7]]


def test_a_picture_that_takes_gigabytes_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    """A bilevel PNG of 200 million pixels has some 25 kB; Pillow refuses it."""
    Image.new("1", (20_000, 10_000)).save(tmp_path / "huge.png")
    monkeypatch.setattr(Image.Image, "convert", None)
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)
    with pytest.raises(RefusedError, match=r"can't be read .*200000000 pixels"):
        pictures.open_picture(tmp_path / "huge.png")
