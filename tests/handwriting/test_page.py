"""What is a digit on a page, and what isn't."""

import numpy as np
import pages
import pytest
from drawn_digits import SEVEN, as_picture, draw_page, read_digits
from PIL import Image, ImageDraw

import recognize
from handwriting import page, pictures, ruling


def with_ruling(distance, squared=False, level=110, digit=True, **pen):
    drawn = draw_page(SEVEN if digit else [], **({"pen": 12} | pen))
    draw = ImageDraw.Draw(drawn)
    for y in range(-200, 1000, distance):
        draw.line((0, y, 600, y + 30), fill=level, width=3)
    if squared:
        for x in range(-100, 700, distance):
            draw.line((x, 0, x - 40, 800), fill=level, width=3)
    return drawn


def test_lines_squares_and_frames_are_left_out(network):
    framed = draw_page(SEVEN, pen=12)
    ImageDraw.Draw(framed).rectangle((100, 150, 500, 560), outline=60, width=4)
    circled = draw_page(SEVEN, pen=12)
    ImageDraw.Draw(circled).ellipse((60, 110, 540, 600), outline=60, width=8)
    underlined = draw_page(SEVEN, pen=12)
    ImageDraw.Draw(underlined).line((150, 510, 460, 520), fill=20, width=12)
    for picture in (with_ruling(70), with_ruling(50, squared=True), framed, circled, underlined):
        assert read_digits(network, picture) == [[7]]


@pytest.mark.parametrize(("distance", "level"), [(30, 150), (24, 150), (20, 180)])
def test_lines_are_not_the_paper_that_a_digit_stands_out_from(distance, level, network):
    """And the dots that stay where two of them crossed are no print, however many there are."""
    page = with_ruling(distance, squared=True, level=level, pen=5, side=180)
    assert read_digits(network, page) == [[7]]


def test_a_line_is_erased_but_for_what_crosses_it():
    mask = np.zeros((300, 400), np.uint8)
    mask[150:153, :] = 1
    mask[100:200, 200:206] = 1
    expected = np.zeros_like(mask)
    expected[100:200, 200:206] = 1
    assert np.array_equal(ruling.remove_lines(mask), expected)


def draw_box(strokes, place, side, pen):
    """Return the box of what `draw_page` draws: left, top, right, bottom."""
    points = np.concatenate(strokes) * side / 100 + place
    return [*(points.min(axis=0) - pen / 2), *(points.max(axis=0) + pen / 2)]


def test_a_box_is_where_its_digit_is():
    [[digit]] = page.find_digits(pictures.to_bands(draw_page(SEVEN, pen=12)))
    assert digit.box == pytest.approx(draw_box(SEVEN, (150, 200), 300, 12), abs=3)


def draw_print_and(colour, note=None):
    """Return a printed page with a 7 in its margin, or on a note, turned a little, in the print."""
    drawn = Image.new("RGB", (900, 700), (235, 230, 215))
    draw = ImageDraw.Draw(drawn)
    for y in range(20, 680, 26):
        draw.text((160, y), "tempor incididunt ut labore et dolore magna aliqua " * 2, (40, 40, 40))
    if note:
        draw.polygon([(300, 220), (610, 180), (650, 490), (340, 530)], fill=note)
    left, top, side = (400, 270, 150) if note else (20, 300, 90)
    points = [(left + side * x / 100, top + side * y / 100) for x, y in SEVEN[0]]
    draw.line(points, fill=colour, width=6, joint="curve")
    return drawn, draw_box(SEVEN, (left, top), side, 6)


@pytest.mark.parametrize(
    ("colour", "note"), [((200, 40, 45), None), ((35, 40, 95), (250, 235, 120))]
)
def test_a_digit_in_colour_or_on_a_note_stands_out_from_print(colour, note, network):
    drawn, box = draw_print_and(colour, note)
    [[prediction]] = recognize.predict(network, drawn)
    assert prediction.digit == 7
    assert prediction.box == pytest.approx(box, abs=20 if note else 5)  # around a turned one


def draw_noise(deviation):
    return as_picture(0.8 + np.random.default_rng(1).normal(0, deviation, (500, 400)))


def draw_vignette():
    down, right = np.mgrid[-1:1:400j, -1:1:300j]
    return as_picture(0.9 - 0.2 * (down**2 + right**2))


def draw_salt():
    return as_picture((np.random.default_rng(1).random((500, 400)) > 0.03).astype(float))


FAULTS = {
    "white": lambda: Image.new("L", (300, 400), 255),
    "black": lambda: Image.new("L", (300, 400), 0),
    "one pixel": lambda: Image.new("L", (1, 1), 9),
    "nothing at all": lambda: Image.new("RGBA", (30, 40), (0, 0, 0, 0)),
    "fine noise": lambda: draw_noise(0.01),
    "noise": lambda: draw_noise(0.05),
    "coarse noise": lambda: draw_noise(0.3),
    "salt": draw_salt,
    "an empty page in uneven light": draw_vignette,
    "crumpled": lambda: pages.draw_page("crumpled paper", None, 310),
    "blank ruled": lambda: with_ruling(70, digit=False),
    "blank squared": lambda: with_ruling(50, squared=True, digit=False),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_shows_no_digit_is_refused(fault):
    with pytest.raises(page.NoDigit):
        page.find_digits(pictures.to_bands(FAULTS[fault]()))


@pytest.mark.parametrize("size", [(450, 1), (1, 1200), (5000, 3)])
def test_the_flattest_picture_is_empty_or_of_no_digit(size, network):
    for picture in (Image.new("L", size, 255), Image.effect_noise(size, 80)):
        with pytest.raises(page.NoDigit):
            recognize.predict(network, picture)


def test_a_digit_is_scaled_by_the_means_of_its_pixels():
    ink = np.random.default_rng(1).random((100, 50), dtype=np.float32)
    means = ink.reshape(20, 5, 10, 5).mean(axis=(1, 3))
    assert page.scale(ink, 20) == pytest.approx(means, abs=1e-5)


def test_otsu_s_separability():
    assert page.get_separability(np.array([0.0] * 90 + [1.0] * 10)) == pytest.approx(1, abs=0.01)
    normal = np.random.default_rng(1).normal(size=100_000)
    assert page.get_separability(normal) == pytest.approx(2 / np.pi, abs=0.01)
