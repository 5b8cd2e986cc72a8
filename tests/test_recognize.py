import asyncio
import io
import itertools
import json
import os
import re
import shutil
import subprocess
import threading
import time

import matplotlib
import numpy as np
import pytest
import torch
from conftest import PROJECT
from matplotlib.backend_bases import KeyEvent, MouseEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from mnist.images import keep_first
from PIL import Image, ImageDraw
from torch import nn

import common
import recognize
from files import models
from handwriting import levels, window
from pytorch_mnist import Net, create_input_reshaper, create_loss_function
from pytorch_mnist_convnet import DESIGNS
from training import command_line

matplotlib.use("agg")  # as if there were no display

SCRIPT = PROJECT / "recognize.py"
DRAWINGS = json.loads((PROJECT / "tests" / "handwriting" / "strokes.json").read_text())
TEN_DIGITS = [next(d for d in DRAWINGS if d["digit"] == digit) for digit in range(10)]
SEVEN = [[(26, 18), (74, 18), (44, 88)]]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "chrome"))), None)


@pytest.fixture(scope="session")
def net():
    """A dense network after three epochs of a sixth of the training images."""
    torch.manual_seed(1)
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=3.0)
    calc_loss = create_loss_function(nn.MSELoss())
    loader = common.get_loader(keep_first(common.get_dataset(), 10_000))
    common.train_network(loader, net, 3, optimizer, create_input_reshaper(), calc_loss)
    return net.eval()


@pytest.fixture
def model(net, tmp_path):
    models.save_model(net, tmp_path / "dense.pt")
    return "dense.pt"


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
def test_any_picture_of_a_seven_shows_the_network_the_same(name, net, tmp_path):
    PICTURES[name]().save(tmp_path / name)
    image = recognize.to_mnist(recognize.open_picture(tmp_path / name))
    assert (image.dtype, image.shape) == (torch.float32, (1, 28, 28))
    assert (image.min(), image.max()) == (0, 1)
    answer = recognize.look(net, image)
    assert answer.outputs.argmax() == 7
    # Strokes differ in width; where they are doesn't.
    expected = recognize.to_mnist(draw_page(SEVEN))
    assert torch.corrcoef(torch.stack([image.flatten(), expected.flatten()]))[0, 1] > 0.55


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_as_its_file_says(orientation, tmp_path):
    ways = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the inverse of each, a Transpose
    page = draw_page(SEVEN)
    stored = page.transpose(Image.Transpose(ways[orientation])) if orientation > 1 else page
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "photograph.jpg", exif=exif, quality=95)
    image = recognize.to_mnist(recognize.open_picture(tmp_path / "photograph.jpg"))
    assert (image - recognize.to_mnist(page)).abs().mean() < 0.02


def test_the_digit_fills_a_box_of_20_around_its_centre_of_mass():
    for drawing in DRAWINGS:
        image = recognize.to_mnist(draw_page(drawing["strokes"]))[0]
        rows, columns = image.sum(1), image.sum(0)
        extents = [(line > 0).nonzero() for line in (rows, columns)]
        assert max(extent.max() - extent.min() + 1 for extent in extents) == 20
        for line, extent in zip((rows, columns), extents, strict=True):
            is_at_the_edge = extent.min() == 0 or extent.max() == 27
            assert is_at_the_edge or abs(line @ torch.arange(28.0) / line.sum() - 14) <= 0.51


def test_mnist_s_own_images_stay_as_they_are(net):
    test_set = common.get_dataset(train=False)
    images = test_set.data[:200, None] / 255
    prepared = torch.stack(
        [recognize.to_mnist(Image.fromarray(i.numpy())) for i in test_set.data[:200]]
    )
    assert (prepared - images).abs().mean() < 0.03
    right = [
        (net(batch.flatten(1)).argmax(1) == test_set.targets[:200]).sum()
        for batch in (prepared, images)
    ]
    assert right[0] >= right[1] - 4


def draw_noise(deviation):
    return as_picture(0.8 + np.random.default_rng(1).normal(0, deviation, (500, 400)))


def draw_two(gap):
    page = draw_page(SEVEN, (900, 600), (50, 100))
    second = draw_page(SEVEN, (900, 600), (50 + 144 + 24 + gap, 100))
    return Image.fromarray(np.minimum(np.asarray(page), np.asarray(second)))


def draw_vignette():
    down, right = np.mgrid[-1:1:400j, -1:1:300j]
    return as_picture(0.9 - 0.2 * (down**2 + right**2))


def draw_salt():
    return as_picture((np.random.default_rng(1).random((500, 400)) > 0.03).astype(float))


FAULTS = {
    "white": (lambda: Image.new("L", (300, 400), 255), "the page is empty"),
    "black": (lambda: Image.new("L", (300, 400), 0), "the page is empty"),
    "one pixel": (lambda: Image.new("L", (1, 1), 9), "the page is empty"),
    "nothing at all": (lambda: Image.new("RGBA", (30, 40), (0, 0, 0, 0)), "the page is empty"),
    "fine noise": (lambda: draw_noise(0.01), "the page is empty"),
    "an empty page in uneven light": (draw_vignette, "the page is empty"),
    "noise": (lambda: draw_noise(0.05), "no digit stands out"),
    "coarse noise": (lambda: draw_noise(0.3), "no digit stands out"),
    "salt": (draw_salt, "no digit stands out|several digits"),
    "two digits": (lambda: draw_two(gap=200), r"several digits \(2 large pieces\)"),
    "two digits, close together": (lambda: draw_two(gap=12), r"several digits \(2 large pieces\)"),
    "a filled square": (
        lambda: Image.fromarray(np.pad(np.zeros((90, 90), np.uint8), 200, constant_values=255)),
        "no digit stands out|the page is empty",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_isn_t_one_digit_is_told(fault):
    draw, message = FAULTS[fault]
    with pytest.raises(recognize.NoDigit, match=message):
        recognize.to_mnist(draw())


def test_an_opening_removes_what_is_narrower_than_the_square():
    row = np.array([0, 9, 9, 0, 9, 9, 9, 0, 5, 5, 0, 7])
    opened = levels.opening(np.tile(row, (9, 1)), 3)
    # A narrow area along the edge counts as large.
    assert opened.tolist() == [[0, 0, 0, 0, 9, 9, 9, 0, 0, 0, 0, 7]] * 9


def test_pieces_are_connected_through_corners():
    mask = np.array([list(line) for line in ("#.#..", "###.#", ".....", "#....", ".#.#.")]) == "#"
    assert sorted(levels.find_pieces(mask)) == [
        (0, 0, 3, 2), (0, 3, 2, 5), (3, 4, 4, 5), (4, 1, 5, 2),
    ]  # fmt: skip
    large = levels.find_pieces(np.pad(np.ones((1, 700), dtype=bool), 150))
    assert large == [(148, 148, 852, 152)]  # in cells of four pixels


def test_the_division_between_two_levels():
    threshold, clearness = levels.divide(np.array([0.0] * 90 + [1.0] * 10))
    assert 0 < threshold < 1
    assert clearness == pytest.approx(1, abs=0.01)
    normal = np.random.default_rng(1).normal(size=100_000)
    assert levels.divide(normal)[1] == pytest.approx(2 / np.pi, abs=0.01)


@pytest.mark.parametrize("design", DESIGNS)
def test_each_network_is_known_by_its_weights(design, tmp_path):
    torch.manual_seed(1)
    net = DESIGNS[design].network().eval()
    file = tmp_path / "model.pt"
    models.save_model(net, file)
    if design in ("2conv", "relu"):
        with pytest.raises(ValueError, match="say which by --net"):
            recognize.load_network(file)
        loaded, _ = recognize.load_network(file, design)
    else:
        loaded, _ = recognize.load_network(file)
    assert type(loaded) is type(net)
    image = torch.rand(1, 28, 28)
    answer = recognize.look(loaded, image)
    assert torch.equal(answer.outputs, net(image[None])[0].softmax(0))
    assert answer.features.shape == (20, 24, 24)
    assert answer.hidden.shape == ((1000,) if design == "final" else (100,))


def test_a_dense_network_may_have_another_hidden_layer(tmp_path):
    net = Net(30)
    models.save_model(net, tmp_path / "model.pt")
    image = torch.rand(1, 28, 28)
    loaded, _ = recognize.load_network(tmp_path / "model.pt")
    answer = recognize.look(loaded, image)
    assert torch.equal(answer.outputs, net(image.reshape(1, 784))[0])
    assert torch.equal(answer.hidden, net.hidden_layer(image.flatten()).sigmoid())
    normalised = recognize.look(net, image, normalize=True)
    assert torch.equal(normalised.outputs, net((image.reshape(1, 784) - 0.1305) / 0.3081)[0])


def test_a_line_for_each_picture_in_order(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    draw_page(SEVEN).save(tmp_path / "seven.png")
    draw_page(TEN_DIGITS[0]["strokes"]).save(tmp_path / "zero.jpg")
    flags = [model, "seven.png", "zero.jpg", "--out", "seen.png"]
    monkeypatch.setattr("sys.argv", ["recognize.py", *flags])
    recognize.main()
    stdout, stderr = capsys.readouterr()
    assert stderr == ""
    sureness = r"\(output 0\.\d{3}; next is \d with 0\.\d{3}\)"
    assert re.fullmatch(f"seven.png: 7 {sureness}\nzero.jpg: 0 {sureness}\n", stdout)
    with Image.open(tmp_path / "seen.png") as picture:
        assert (picture.format, picture.size) == ("PNG", (1200, 700))


def test_one_bad_picture_leaves_the_others_their_answers(model, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    draw_page(SEVEN).save("seven.png")
    Image.new("L", (300, 300), 255).save("empty.png")
    (tmp_path / "text.png").write_text("no picture")
    whole = (tmp_path / "seven.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    files = ["missing.png", "empty.png", "text.png", "half.png", ".", "seven.png"]
    monkeypatch.setattr("sys.argv", ["recognize.py", model, *files, "--out", "seen.png"])
    with pytest.raises(SystemExit) as exit:
        command_line.run(recognize.main)
    assert exit.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == files
    assert all(": no answer: " in line for line in lines[:5])
    assert lines[0] == "missing.png: no answer: there is no file missing.png"
    assert lines[1] == "empty.png: no answer: the page is empty"
    assert lines[5].startswith("seven.png: 7 ")
    assert (tmp_path / "seen.png").exists()


@pytest.mark.parametrize("flags", [["normalized.pt"], ["plain.pt", "--normalize"]])
def test_inputs_are_prepared_as_the_file_or_the_flag_says(flags, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(1)
    net = Net().eval()
    models.save_model(net, "plain.pt")
    models.save_model(net, "normalized.pt", normalized=True)
    draw_page(SEVEN).save("seven.png")
    monkeypatch.setattr("sys.argv", ["recognize.py", *flags, "seven.png"])
    recognize.main()
    image = recognize.to_mnist(draw_page(SEVEN))
    expected = recognize.look(net, image, normalize=True)
    assert str(expected) != str(recognize.look(net, image))
    assert capsys.readouterr().out == f"seven.png: {expected}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "which network.*pytorch_mnist.py --save-model"),
        (["missing.pt", "x.png"], "no file.*pytorch_mnist.py --save-model missing.pt"),
        (["seven.png"], "seven.png is damaged"),
        (["dense.pt"], "there is no display.*--browser"),
        (["dense.pt", "--out", "x.png"], "--out needs a PICTURE"),
        (["dense.pt", "seven.png", "--out", "seven.png"], "writes a new PNG"),
        (["dense.pt", "./seven.png", "--out", "seven.png"], "writes a new PNG"),
        (["dense.pt", "seven.png", "--out", "dense.pt"], "writes a new PNG"),
        (["other.pt", "seven.png"], "another network than Net"),
        (["dense.pt", "seven.png", "--net", "relu"], "another network than ConvNetTwoConvRelu"),
    ],
)
def test_what_can_t_be_done_is_told_in_a_line(
    arguments, message, model, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    draw_page(SEVEN).save("seven.png")
    models.save_model(nn.Linear(2, 2), "other.pt")
    before = {file: file.read_bytes() for file in tmp_path.iterdir()}
    monkeypatch.setattr("sys.argv", ["recognize.py", *arguments])
    with pytest.raises(SystemExit):
        command_line.run(recognize.main)
    assert re.search(message, capsys.readouterr().err)
    assert {file: file.read_bytes() for file in tmp_path.iterdir()} == before


class Mouse:
    """A window on the Agg canvas, and a mouse that draws in it."""

    def __init__(self, net):
        self.figure = Figure(figsize=(11, 6), layout="constrained")
        self.canvas = FigureCanvasAgg(self.figure)
        self.window = window.Window(
            self.figure, recognize.to_mnist, lambda image: recognize.look(net, image)
        )
        self.canvas.draw()

    def send(self, name, point, axes=None, button=1):
        axes = axes or self.window.drawing_axes
        x, y = axes.transData.transform(point)
        self.canvas.callbacks.process(name, MouseEvent(name, self.canvas, x, y, button=button))

    def draw(self, strokes, **settings):
        for stroke in strokes:
            points = [np.array(point) * window.SIDE / 100 for point in stroke]
            self.send("button_press_event", points[0], **settings)
            for point in points[1:]:
                self.send("motion_notify_event", point, **settings)
            self.send("button_release_event", points[-1], **settings)

    def get_heights(self):
        return np.array([bar.get_height() for bar in self.window.bars])

    def get_pixels(self):
        return np.asarray(self.canvas.buffer_rgba()).copy()


@pytest.fixture
def mouse(net):
    return Mouse(net)


def test_ten_digits_drawn_with_the_mouse(mouse, net):
    num_right = 0
    for drawing in TEN_DIGITS:
        mouse.draw(drawing["strokes"])
        image = recognize.to_mnist(mouse.window.picture)
        answer = recognize.look(net, image)
        assert np.allclose(mouse.get_heights(), answer.outputs)
        seen = mouse.window.seen.get_array()[..., 0]
        assert np.array_equal(seen, (image[0] * 255).to(torch.uint8))
        assert mouse.window.hidden.get_array().shape == (10, 10, 3)
        assert mouse.window.verdict.get_text() == str(answer)
        num_right += answer.outputs.argmax() == drawing["digit"]
        mouse.window.clear()
    assert num_right >= 8  # the network has hardly been trained


def test_only_what_changes_is_drawn_again(mouse):
    before = mouse.get_pixels()
    mouse.draw(SEVEN)
    drawn = mouse.get_pixels()
    mouse.canvas.draw()  # all of it
    assert (drawn != before).any()
    assert np.array_equal(drawn, mouse.get_pixels())


@pytest.mark.parametrize("way", ["button", "c", "escape", "delete"])
def test_the_drawing_is_cleared(way, mouse):
    before = mouse.get_pixels()
    mouse.draw(SEVEN)
    if way == "button":
        button_axes = mouse.window.button.ax
        mouse.send("button_press_event", (0.5, 0.5), axes=button_axes)
        mouse.send("button_release_event", (0.5, 0.5), axes=button_axes)
    else:
        mouse.canvas.callbacks.process(
            "key_press_event", KeyEvent("key_press_event", mouse.canvas, way)
        )
    assert mouse.window.is_empty
    assert not mouse.get_heights().any()
    if way != "button":  # which the mouse is still on
        assert np.array_equal(before, mouse.get_pixels())


def test_only_the_left_button_draws_and_only_on_the_sheet(mouse):
    mouse.draw(SEVEN, button=3)
    mouse.draw([[(0, 0.01), (0.02, 0.01)]], axes=mouse.window.bars[0].axes)
    mouse.send("motion_notify_event", (100, 100))
    assert mouse.window.is_empty


def test_a_line_goes_on_from_where_the_mouse_left_the_sheet(mouse):
    mouse.send("button_press_event", (100, 100))
    mouse.send("motion_notify_event", (-50, 100))
    mouse.send("motion_notify_event", (180, 100))
    mouse.send("button_release_event", (180, 100))
    row = np.asarray(mouse.window.picture)[100]
    assert (row[105:175] == window.INK).all()
    assert (row[:80] == window.PAPER).all()


def test_what_isn_t_a_digit_yet_is_told_in_the_window(mouse):
    mouse.draw([[(10, 10), (10, 40)], [(90, 10), (90, 40)]])
    assert "several digits" in mouse.window.verdict.get_text()
    assert not mouse.get_heights().any()


@pytest.mark.parametrize("design", ["simple", "final"])
def test_a_convolutional_network_shows_its_feature_maps(design):
    torch.manual_seed(1)
    mouse = Mouse(DESIGNS[design].network().eval())
    mouse.draw(SEVEN)
    maps = mouse.window.hidden.get_array()[..., 0]
    assert maps.shape == (4 * 26, 5 * 26)  # 20 maps of 24x24 with a margin
    assert maps.max() == 255


class Page:
    """A tab of a headless Chromium, by its DevTools protocol."""

    def __init__(self, connection):
        self.connection, self.ids = connection, itertools.count(1)

    async def call(self, method, **parameters):
        number = next(self.ids)
        message = {"id": number, "method": method, "params": parameters}
        await self.connection.write_message(json.dumps(message))
        while True:
            answer = json.loads(await self.connection.read_message())
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]

    async def evaluate(self, expression):
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")

    async def get_pixels(self, clip):
        import base64

        answer = await self.call("Page.captureScreenshot", format="png", clip=clip)
        picture = Image.open(io.BytesIO(base64.b64decode(answer["data"])))
        return np.asarray(picture.convert("L")).astype(int)

    async def mouse(self, kind, x, y):
        await self.call(
            "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1
        )


def read_line(process, stream, pattern, deadline=60):
    """Return what matches the pattern in a process's output; end the process if nothing does."""
    timer = threading.Timer(deadline, process.kill)
    timer.start()
    try:
        for line in stream:
            if found := re.search(pattern, line):
                return found[0]
    finally:
        timer.cancel()
    raise AssertionError(f"the process printed no line with {pattern}")


async def wait_until(is_true, deadline=60):
    end = time.monotonic() + deadline
    while True:
        value = await is_true()
        if value:
            return value
        assert time.monotonic() < end, "nothing changed in the browser"
        await asyncio.sleep(0.05)


async def draw_in_browser(url, debug_url, save):
    from tornado.httpclient import AsyncHTTPClient
    from tornado.websocket import websocket_connect

    port = re.search(r":(\d+)/", debug_url)[1]
    answer = await AsyncHTTPClient().fetch(
        f"http://127.0.0.1:{port}/json/new?{url}", method="PUT", body=b""
    )
    connection = await websocket_connect(
        json.loads(answer.body)["webSocketDebuggerUrl"], max_message_size=2**26
    )
    page = Page(connection)
    find = "(() => {const c = document.querySelectorAll('canvas'); if (!c.length) return null; \
        const b = c[0].getBoundingClientRect(); return [b.left, b.top, b.width, b.height]})()"

    async def find_figure():
        box = await page.evaluate(find)
        return box if box and box[2] > 900 else None

    left, top, width, height = await wait_until(find_figure)
    figure = {"x": left, "y": top, "width": width, "height": height, "scale": 1}
    bars = {**figure, "x": left + 0.53 * width, "y": top + 0.5 * height}
    bars |= {"width": 0.45 * width, "height": 0.37 * height}

    async def is_drawn():
        pixels = await page.get_pixels(figure)
        return (pixels < 50).sum() > 5000  # the image that the network sees, black

    await wait_until(is_drawn)
    empty = await page.get_pixels(bars)
    for stroke in SEVEN:
        points = [(left + (0.03 + 0.43 * x / 100) * width, top + (0.05 + 0.8 * y / 100) * height)
                  for x, y in stroke]  # fmt: skip
        await page.mouse("mouseMoved", *points[0])
        await page.mouse("mousePressed", *points[0])
        for (x, y), (next_x, next_y) in itertools.pairwise(points):
            for step in np.linspace(0, 1, 10):
                await page.mouse("mouseMoved", x + step * (next_x - x), y + step * (next_y - y))
        await page.mouse("mouseReleased", *points[-1])

    async def is_bar_of_seven():
        # Half a 7 may be taken for another digit: what counts is the bar that is there in the end.
        changed = abs(await page.get_pixels(bars) - empty) > 60
        if changed.sum() < 2000:
            return False
        return 0.65 < changed.any(axis=0).nonzero()[0].mean() / changed.shape[1] < 0.8

    await wait_until(is_bar_of_seven)
    if save:
        Image.fromarray((await page.get_pixels(figure)).astype(np.uint8)).save(save)
    await page.call("Input.dispatchKeyEvent", type="keyDown", key="c", text="c")

    async def is_empty():
        return (await page.get_pixels(bars) == empty).all()

    await wait_until(is_empty)
    connection.close()


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to open the window in")
def test_a_digit_is_drawn_in_a_browser(start, model, tmp_path):
    pytest.importorskip("tornado", reason="WebAgg needs tornado")
    server = start("-u", SCRIPT, model, "--browser", env={"MPLBACKEND": None})
    url = read_line(server, server.stdout, r"http://127\.0\.0\.1:\d+/?")
    flags = "--headless --no-sandbox --disable-gpu --no-first-run --disable-sync"
    flags += " --disable-background-networking --disable-component-update"
    flags += " --remote-debugging-port=0 --window-size=1300,900"
    browser = subprocess.Popen(
        [CHROMIUM, *flags.split(), f"--user-data-dir={tmp_path / 'browser'}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        debug_url = read_line(browser, browser.stderr, r"ws://\S+")
        save = os.environ.get("SCREENSHOT")
        asyncio.run(draw_in_browser(url, debug_url, save))
    finally:
        browser.terminate()
        browser.wait(timeout=20)
