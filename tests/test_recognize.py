import asyncio
import io
import json
import re

import cv2
import matplotlib
import numpy as np
import pytest
import torch
from conftest import PROJECT
from matplotlib.backend_bases import KeyEvent
from matplotlib.figure import Figure
from own_handwriting import STROKES, Mouse, read
from PIL import Image, ImageDraw

import common
import recognize
import show
from files import models
from handwriting import DIGITS, page, pictures, ruling, train, window

matplotlib.use("agg")  # as if there were no display
cv2.setNumThreads(1)

SCRIPT = PROJECT / "recognize.py"
DRAWINGS = json.loads(STROKES.read_text())
TEN_DIGITS = [next(d for d in DRAWINGS if d["digit"] == digit) for digit in range(10)]
SEVEN = [[(26, 18), (74, 18), (44, 88)]]


@pytest.fixture(scope="module")
def network():
    return models.load(DIGITS)


def read_digits(network, picture):
    """Return the digits of a picture, line by line."""
    return [[p.digit for p in line] for line in recognize.predict(network, picture)]


def draw_page(strokes, size=(600, 800), place=(150, 200), side=300, pen=24, ink=20, paper=235):
    """Return a page, mode L, with strokes (points of 0 to 100) drawn at a place."""
    page = Image.new("L", size, paper)
    draw = ImageDraw.Draw(page)
    for stroke in strokes:
        points = [(place[0] + side * x / 100, place[1] + side * y / 100) for x, y in stroke]
        draw.line(points, fill=ink, width=pen, joint="curve")
        for x, y in points:
            draw.ellipse((x - pen / 2, y - pen / 2, x + pen / 2, y + pen / 2), fill=ink)
    return page


def as_levels(page):
    return np.asarray(page, dtype=np.float32) / 255


def as_picture(levels):
    return Image.fromarray((levels.clip(0, 1) * 255).astype(np.uint8))


# A seven, in each way in which a picture can hold it.


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


def with_shade():
    page = as_levels(draw_page(SEVEN))
    return as_picture(page * np.linspace(0.3, 1, page.shape[1]))


def with_hard_shadow():
    page = as_levels(draw_page(SEVEN))
    page[:, :180] *= 0.5  # beside the digit; through it, see docs/own-handwriting.md
    return as_picture(page)


def with_specks():
    page = draw_page(SEVEN)
    draw = ImageDraw.Draw(page)
    for x, y in [(20, 30), (500, 700), (560, 90), (90, 640)]:
        draw.ellipse((x, y, x + 6, y + 6), fill=20)
    return page


PICTURES = {
    "grey.png": lambda: draw_page(SEVEN),
    "light ink on a dark ground.png": lambda: draw_page(SEVEN, ink=240, paper=20),
    "black and white.png": lambda: draw_page(SEVEN).convert("1"),
    "colour.jpg": lambda: as_coloured("navy", "cornsilk"),
    "yellow on white.png": lambda: as_coloured("yellow", "white"),
    "as dark as its paper.png": lambda: as_coloured((255, 0, 0), (0, 128, 0)),
    "palette.gif": as_palette,
    "palette.png": as_palette,
    "grey with alpha.png": lambda: as_transparent((0, 0, 0)).convert("LA"),
    "black on nothing.png": lambda: as_transparent((0, 0, 0)),
    "white on nothing.png": lambda: as_transparent((255, 255, 255)),
    "cmyk.jpg": lambda: draw_page(SEVEN).convert("CMYK"),
    "16 bit.png": lambda: as_sixteen_bit(3000, 60000),
    "16 bit, dark.tif": lambda: as_sixteen_bit(10, 900),
    "32 bit.tif": lambda: Image.fromarray(as_levels(draw_page(SEVEN))),
    "webp.webp": lambda: draw_page(SEVEN),
    "bmp.bmp": lambda: draw_page(SEVEN),
    "grey paper.png": lambda: draw_page(SEVEN, ink=90, paper=140),
    "pencil.png": lambda: draw_page(SEVEN, ink=200, paper=235),
    "noise.png": lambda: with_noise(0.1),
    "shade.jpg": with_shade,
    "shadow's edge.jpg": with_hard_shadow,
    "specks.png": with_specks,
    "ballpoint.png": lambda: draw_page(SEVEN, pen=3),
    "marker.png": lambda: draw_page(SEVEN, pen=60),
    "in a corner.png": lambda: draw_page(SEVEN, place=(-40, -10), side=200),
    "a small digit.png": lambda: draw_page(SEVEN, side=60, pen=5),
    "a scan.png": lambda: draw_page(SEVEN, (2480, 3508), (900, 1200), side=140, pen=8),
    "a closely cut one.png": lambda: draw_page(SEVEN).crop((200, 225, 400, 490)),
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


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
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


@pytest.mark.parametrize(("mode", "suffix"), [("L", "jpg"), ("L", "tif"), ("P", "png")])
def test_so_is_a_large_one_which_is_reduced(mode, suffix, network, tmp_path):
    drawn = draw_page(SEVEN).resize((1500, 2000))
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = drawn.transpose(Image.Transpose.ROTATE_90).convert(mode)
    stored.save(tmp_path / f"photograph.{suffix}", exif=exif)
    opened = pictures.open_picture(tmp_path / f"photograph.{suffix}")
    assert opened.size == (900, 1200)
    assert read_digits(network, opened) == [[7]]


def test_the_digit_fills_a_box_of_20_around_its_centre_of_mass():
    for drawing in DRAWINGS:
        ink = np.asarray(draw_page(drawing["strokes"], ink=255, paper=0), dtype=np.float32) / 255
        rows, columns = ink.any(axis=1).nonzero()[0], ink.any(axis=0).nonzero()[0]
        cut = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
        image = recognize.to_mnist(cut)[0]
        rows, columns = image.sum(1), image.sum(0)
        extents = [(line > 0).nonzero() for line in (rows, columns)]
        assert max(extent.max() - extent.min() + 1 for extent in extents) == 20
        for line, extent in zip((rows, columns), extents, strict=True):
            is_at_the_edge = extent.min() == 0 or extent.max() == 27
            assert is_at_the_edge or abs(line @ torch.arange(28.0) / line.sum() - 14) <= 0.51


def test_a_digit_is_scaled_by_the_means_of_its_pixels():
    ink = np.random.default_rng(1).random((100, 50), dtype=np.float32)
    means = ink.reshape(20, 5, 10, 5).mean(axis=(1, 3))
    assert page.scale(ink, 20) == pytest.approx(means, abs=1e-5)


@pytest.mark.parametrize(("width", "expected"), [(2, 1.8), (40, 4)])
def test_only_strokes_thinner_than_mnist_s_are_thickened(width, expected):
    """A 1 of 200 pixels: of a stroke of two, 0.2 would be left in the box of 20."""
    image = recognize.to_mnist(np.ones((200, width), np.float32))[0]
    assert image.sum(dim=1).max().item() == pytest.approx(expected, abs=0.2)


def test_mnist_s_own_images_are_read_as_well_as_they_are(network):
    test_set = common.get_dataset(train=False)
    images, labels = test_set.data[:100], test_set.targets[:100].tolist()
    answers = [read(network, Image.fromarray(image.numpy())) for image in images]
    expected = network(images[:, None] / 255).argmax(1).tolist()
    num_right = sum(map(str.__eq__, answers, map(str, labels)))
    assert num_right >= sum(map(int.__eq__, expected, labels)) - 4


def test_all_digits_of_a_page_line_by_line(network, tmp_path, capsys):
    sheet = Image.new("L", (1200, 900), 235)
    for place, digit in [((100, 100), 2), ((350, 110), 0), ((600, 95), 6), ((120, 500), 7)]:
        drawn = draw_page(TEN_DIGITS[digit]["strokes"], (230, 320), (10, 10), 220, pen=14)
        sheet.paste(drawn, place)
    sheet.save(tmp_path / "page.png")
    recognize.recognize([str(tmp_path / "page.png")], network)
    assert re.search(
        r"page.png: 2 0 6 / 7 \(outputs \d\.\d\d \d\.\d\d \d\.\d\d \d\.\d\d\)$",
        capsys.readouterr().out.strip(),
    )


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
    "blank ruled": lambda: with_ruling(70, digit=False),
    "blank squared": lambda: with_ruling(50, squared=True, digit=False),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_shows_no_digit_is_refused(fault):
    with pytest.raises(page.NoDigit):
        page.find_digits(pictures.to_bands(FAULTS[fault]()))


def test_otsu_s_separability():
    assert page.get_separability(np.array([0.0] * 90 + [1.0] * 10)) == pytest.approx(1, abs=0.01)
    normal = np.random.default_rng(1).normal(size=100_000)
    assert page.get_separability(normal) == pytest.approx(2 / np.pi, abs=0.01)


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_unreadable_metadata_is_left_aside(suffix, network, tmp_path):
    """Pillow's own `exif_transpose` raises a SyntaxError for these."""
    file = tmp_path / f"seven.{suffix}"
    draw_page(SEVEN).save(file, exif=b"II*")
    assert read_digits(network, pictures.open_picture(file)) == [[7]]


def test_another_default_device_changes_nothing():
    """As after `torch.set_default_device`; on PyTorch's "meta", every number would be missing."""
    with torch.device("meta"):
        mouse = Mouse(models.load(DIGITS))
        mouse.draw(*SEVEN)
        assert mouse.window.verdict.get_text().startswith("7 ")


def test_a_hot_pixel_and_a_nan_change_nothing(network):
    levels = np.asarray(as_sixteen_bit(100, 900)).copy()
    levels[0, 0] = 65535
    assert read_digits(network, Image.fromarray(levels)) == [[7]]
    levels = as_levels(draw_page(SEVEN)).copy()
    levels[0, 0] = np.nan
    assert read_digits(network, Image.fromarray(levels)) == [[7]]


def test_a_huge_picture_is_read_reduced(network, tmp_path):
    draw_page(SEVEN).resize((12000, 16000)).save(tmp_path / "huge.jpg")
    picture = pictures.open_picture(tmp_path / "huge.jpg")
    assert max(picture.size) <= pictures.LONGEST
    assert read_digits(network, picture) == [[7]]


@pytest.mark.parametrize("size", [(450, 1), (1, 1200), (5000, 3)])
def test_the_flattest_picture_is_empty_or_of_no_digit(size, network):
    for picture in (Image.new("L", size, 255), Image.effect_noise(size, 80)):
        with pytest.raises(page.NoDigit):
            recognize.predict(network, picture)


@pytest.mark.parametrize("suffix", ["tif", "gif"])
def test_further_pages_of_a_file_are_told_not_to_be_read(suffix, network, tmp_path, capsys):
    pages = [draw_page(SEVEN), draw_page([[(50, 10), (50, 90)]])]
    file = str(tmp_path / f"pages.{suffix}")
    pages[0].save(file, save_all=True, append_images=pages[1:])
    assert read_digits(network, pictures.open_picture(file)) == [[7]]
    assert capsys.readouterr().err == f"{file}: only the first of 2 pictures is read\n"


def test_one_bad_picture_leaves_the_others_their_answers(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    draw_page(SEVEN).save("seven $x_{.png")
    Image.new("L", (300, 300), 255).save("empty.png")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    whole = (tmp_path / "seven $x_{.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    files = ["missing.png", "empty.png", "text.png", "photo.heic", "half.png", "seven*.png"]
    monkeypatch.setattr("sys.argv", ["recognize.py", *files, "--out", "seen.png"])
    with pytest.raises(SystemExit) as exit:
        recognize.main()
    assert exit.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [*files[:5], "seven $x_{.png"]
    assert all(": no answer: " in line for line in lines[:5])
    assert lines[0] == "missing.png: no answer: there is no such file"
    assert lines[1] == "empty.png: no answer: the page is empty"
    assert "convert it" in lines[3]
    assert re.search(r": 7 \(output \d\.\d{3}; next is \d with 0\.\d{3}\)$", lines[5])
    with Image.open("seen.png") as picture:
        assert picture.format == "PNG"


def get_page(*digits):
    """Return Predictions of these digits, one beside the other, all sure in another degree."""
    predictions = []
    for index, digit in enumerate(digits):
        outputs = torch.full((10,), 0.1)
        outputs[digit], outputs[(digit + 1) % 10] = 0.9 - 0.1 * index, 0.25
        image = torch.full((1, 28, 28), 0.1 * (1 + index))
        box = (100 * index, 20, 100 * index + 50, 90)
        predictions.append(recognize.Prediction(outputs, image, box))
    return [predictions]


def test_the_answer_names_the_two_largest_outputs():
    assert recognize.describe(get_page(9)) == "9 (output 0.900; next is 0 with 0.250)"


def test_what_was_seen_is_drawn_a_row_for_each_picture():
    """From left to right: the page with each digit's box, the 28x28 of each, its outputs.

    Outputs have the colour of their box.
    """
    from handwriting import drawing

    given = Image.effect_noise((300, 100), 50)
    predicted = get_page(4, 7)
    figure = Figure()
    results = [("page.png", given, predicted, "4 7"), ("t\udcff.png", None, None, "no answer")]
    drawing.draw(figure, results)
    places = {axes: axes.get_position(original=True) for axes in figure.axes}
    in_order = sorted(places, key=lambda axes: (-places[axes].y0, places[axes].x0))
    left, seen, outputs, other, _, message = in_order
    assert [axes.get_title() for axes in (left, outputs)] == ["page.png", "4 7"]
    assert [axes.get_title() for axes in (other, message)] == ["t\\udcff.png", "no answer"]
    assert np.array_equal(left.images[0].get_array(), np.asarray(given.convert("RGB")))
    boxes = [(box.get_xy(), box.get_width(), box.get_height()) for box in left.patches]
    assert boxes == [((0, 20), 50, 70), ((100, 20), 50, 70)]
    images = np.hstack([p.image[0].numpy() for p in predicted[0]])
    assert np.array_equal(seen.images[0].get_array(), images)
    for bars, prediction in zip(outputs.containers, predicted[0], strict=True):
        assert [bar.get_height() for bar in bars] == pytest.approx(prediction.outputs.tolist())
        middles = [bar.get_x() + bar.get_width() / 2 for bar in bars]
        assert middles == pytest.approx(range(10), abs=0.4)
    colours = [bars[0].get_facecolor() for bars in outputs.containers]
    assert colours == [box.get_edgecolor() for box in left.patches]
    assert colours[0] != colours[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["seven.png", "--model", "seven.png"], "no file of weights"),
        (["--out", "x.png"], "--out needs a PICTURE"),
        ([], "there is no display.*--browser"),
        (["seven.png", "--out", "seven.png"], "would replace seven.png"),
        (["seven.png", "--browser"], "leave PICTURE out"),
    ],
)
def test_what_can_t_be_done_is_refused(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw_page(SEVEN).save("seven.png")
    monkeypatch.setattr("sys.argv", ["recognize.py", *arguments])
    with pytest.raises(common.RefusedError, match=message):
        recognize.main()


@pytest.mark.parametrize(
    "backend", ["inline", "module://matplotlib_inline.backend_inline", "widget", "ipympl"]
)
def test_a_program_started_from_a_notebook_says_how_to_see_its_picture(backend, monkeypatch):
    monkeypatch.setattr("matplotlib.pyplot.get_backend", lambda: backend)
    monkeypatch.setattr("sys.argv", ["recognize.py"])
    with pytest.raises(common.RefusedError, match=r"no display.*--out FILE.png"):
        recognize.main()
    with pytest.raises(common.RefusedError, match=r"no display.*in a notebook's cell"):
        show.show_figure(None, out=None)


def test_the_network_of_the_flags_is_asked(network, tmp_path, monkeypatch, capsys):
    """One that takes everything for a 5; its file doesn't tell it from a `2conv`."""
    state = {name: value.clone() for name, value in network.net.state_dict().items()}
    state["output_layer.bias"][5] = 1000
    torch.save(state, tmp_path / "fives.pt")
    draw_page(SEVEN).save(tmp_path / "seven.png")
    flags = [str(tmp_path / "seven.png"), "--model", str(tmp_path / "fives.pt")]
    monkeypatch.setattr("sys.argv", ["recognize.py", *flags, "--net", "relu"])
    recognize.main()
    assert "seven.png: 5 (output 1.000;" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["recognize.py", *flags])
    with pytest.raises(common.RefusedError, match="say which by --net"):
        recognize.main()


def test_the_network_that_comes_along_is_small_and_good(network):
    assert DIGITS.stat().st_size < 1_000_000
    test_set = common.get_dataset(train=False)
    outputs = network(test_set.data[:2000, None] / 255)
    assert (outputs.argmax(1) == test_set.targets[:2000]).float().mean() > 0.985


def test_each_image_and_drawing_is_trained_on_once_an_epoch(small_mnist, monkeypatch):
    seen = []

    def record(images):
        seen.append(images)
        return images

    monkeypatch.setattr(train, "vary", record)
    monkeypatch.setattr(train, "NUM_DRAWN", 40)
    train.train(epochs=1)
    drawn, _ = train.draw_european(40, np.random.default_rng(train.SEED))
    expected = torch.cat([common.get_dataset().data, drawn])
    levels = (torch.cat(seen)[:, 0] * 255).round().to(torch.uint8)
    assert sorted(image.numpy().tobytes() for image in levels) == sorted(
        image.numpy().tobytes() for image in expected
    )


def test_drawings_to_train_on_lie_as_mnist_s_images_do():
    """In a box of 20 pixels around the centre of mass, pixel 13.5 or 14 (half a pixel is lost)."""
    images, digits = train.draw_european(60, np.random.default_rng(3))
    assert set(digits.tolist()) == {1, 4, 7, 9}
    for image in images.numpy():
        rows, columns = (image > 40).nonzero()
        assert 19 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 21
        middle = np.average(np.indices(image.shape).reshape(2, -1), axis=1, weights=image.ravel())
        assert middle == pytest.approx([13.75, 13.75], abs=0.6)


@pytest.mark.slow
def test_training_again_gives_such_a_network(network):
    assert abs(train.test(train.train()) - train.test(network.net)) < 0.002


def test_ten_digits_drawn_with_the_mouse(network):
    mouse = Mouse(network)
    for drawing in TEN_DIGITS:
        for stroke in drawing["strokes"]:
            mouse.draw(stroke)
        assert mouse.window.verdict.get_text().startswith(f"{drawing['digit']} (output ")
        assert max(bar.get_height() for bar in mouse.window.bars) > 0.5
        mouse.canvas.callbacks.process(
            "key_press_event", KeyEvent("key_press_event", mouse.canvas, "c")
        )
        assert mouse.window.verdict.get_text() == ""


def test_of_several_digits_the_window_shows_the_last(network, monkeypatch):
    predicted = [*get_page(3, 8), *get_page(1, 6)]
    monkeypatch.setattr(recognize, "predict", lambda network, picture: predicted)
    mouse = Mouse(network)
    mouse.draw(*SEVEN)
    last = predicted[1][1]
    heights = [bar.get_height() for bar in mouse.window.bars]
    assert heights == pytest.approx(last.outputs.tolist())
    assert np.array_equal(mouse.window.seen.get_array(), np.full((28, 28, 3), 51, np.uint8))
    assert mouse.window.verdict.get_text().startswith("3 8 / 1 6 (outputs 0.90 0.80 0.90 0.80)")


def test_a_hidden_neuron_is_the_brighter_the_more_it_says():
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 4), torch.nn.Tanh())
    net.append(torch.nn.Linear(4, 10))
    torch.nn.init.zeros_(net[1].weight)
    net[1].bias.data = torch.tensor([1.0, 0.5, -0.5, -1.0]).atanh().clamp(-9, 9)
    mouse = Mouse(models.TrainedNetwork(net))
    mouse.draw(*SEVEN)
    assert mouse.window.hidden.get_array()[..., 0].tolist() == [[255, 127], [0, 0]]


def test_keys_do_nothing_but_clear(network, monkeypatch):
    monkeypatch.setattr(window.pyplot, "show", lambda: None)
    monkeypatch.setattr(window, "has_windows", lambda: True)
    with matplotlib.rc_context():
        window.show(network, None, recognize.describe, in_browser=False)
        figure = window.pyplot.gcf()
        figure.canvas.draw()
        axes = figure.axes[0]
        x, y = axes.transAxes.transform((0.5, 0.5))
        for key in "lkg":
            event = KeyEvent("key_press_event", figure.canvas, key, x, y)
            figure.canvas.callbacks.process("key_press_event", event)
        assert (axes.get_xscale(), axes.get_yscale()) == ("linear", "linear")
        window.pyplot.close(figure)


def test_other_buttons_than_the_first_draw_nothing(network):
    mouse = Mouse(network)
    for point in ((50, 50), (200, 200)):
        mouse.send("button_press_event", point, button=3)
        mouse.send("motion_notify_event", point, button=3)
    assert np.asarray(mouse.window.picture).min() == window.PAPER


async def draw_in_browser(address):
    """Send and receive what matplotlib's page does, when a 7 is drawn there and cleared."""
    from tornado.websocket import websocket_connect

    connection = await websocket_connect(f"ws://{address}/1/ws")
    picture = Image.new("RGBA", (1100, 600), "white")

    async def send(kind, **values):
        await connection.write_message(json.dumps({"type": kind, **values}))

    async def wait_until(is_true):
        nonlocal picture
        while not is_true(np.asarray(picture.convert("L")).astype(int)):
            message = await asyncio.wait_for(connection.read_message(), timeout=60)
            if isinstance(message, bytes):  # what has changed; the rest is transparent
                frame = Image.open(io.BytesIO(message)).convert("RGBA")
                picture = Image.alpha_composite(picture, frame)
            elif json.loads(message)["type"] == "draw":
                await send("draw")
        return np.asarray(picture.convert("L")).astype(int)

    await send("supports_binary", value=True)
    await send("refresh")
    bars = np.s_[300:522, 583:1078]
    # The image that the network sees is black.
    empty = (await wait_until(lambda pixels: (pixels < 50).sum() > 5000))[bars]
    mouse = {"button": 0, "buttons": 1, "modifiers": []}
    for stroke in SEVEN:
        points = [{"x": 33 + 4.73 * x, "y": 30 + 4.8 * y, **mouse} for x, y in stroke]
        for kind, point in zip(["button_press", *["motion_notify"] * 9], points, strict=False):
            await send(kind, **point)
        await send("button_release", **points[-1])

    def is_bar_of_seven(pixels):
        # Half a 7 may be taken for another digit: what counts is the bar that is there in the end.
        changed = abs(pixels[bars] - empty) > 60
        if changed.sum() < 2000:
            return False
        return 0.65 < changed.any(axis=0).nonzero()[0].mean() / changed.shape[1] < 0.8

    await wait_until(is_bar_of_seven)
    await send("key_press", key="kc")  # as matplotlib's page spells it
    await wait_until(lambda pixels: (pixels[bars] == empty).all())
    connection.close()


def test_a_digit_is_drawn_in_a_browser(start):
    pytest.importorskip("tornado", reason="WebAgg needs tornado")
    server = start("-u", SCRIPT, "--browser", env={"MPLBACKEND": None})
    asyncio.run(draw_in_browser(re.search(r"127\.0\.0\.1:\d+", server.stdout.readline())[0]))
