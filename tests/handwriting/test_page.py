"""What is a digit on a page, and what isn't."""

import numpy as np
import pages
import pytest
from drawn_digits import SEVEN, as_picture, draw_page, read_digits
from PIL import Image, ImageDraw

import recognize
from handwriting import page, pictures


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
    beside = draw_page(SEVEN, pen=12)  # the half of another digit
    ImageDraw.Draw(beside).ellipse((560, 200, 700, 500), outline=20, width=12)
    ruled, squared = with_ruling(70), with_ruling(50, squared=True)
    for picture in (ruled, squared, framed, circled, underlined, beside):
        assert read_digits(network, picture) == [[7]]


@pytest.mark.parametrize(("distance", "level"), [(30, 150), (24, 150), (20, 180)])
def test_lines_are_not_the_paper_that_a_digit_stands_out_from(distance, level, network):
    """And the dots that stay where two of them crossed are no print, however many there are."""
    page = with_ruling(distance, squared=True, level=level, pen=5, side=180)
    assert read_digits(network, page) == [[7]]


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


FAULTS = {
    "white": lambda: Image.new("L", (300, 400), 255),
    "black": lambda: Image.new("L", (300, 400), 0),
    "one pixel": lambda: Image.new("L", (1, 1), 9),
    "nothing at all": lambda: Image.new("RGBA", (30, 40), (0, 0, 0, 0)),
    "noise": lambda: draw_noise(0.05),
    "coarse noise": lambda: draw_noise(0.3),
    "crumpled": lambda: pages.draw_page("crumpled paper", None, 310),
    "blank ruled": lambda: with_ruling(70, digit=False),
    "blank squared": lambda: with_ruling(50, squared=True, digit=False),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_shows_no_digit_is_refused(fault):
    with pytest.raises(page.NoDigit):
        page.find_digits(pictures.to_bands(FAULTS[fault]()))
