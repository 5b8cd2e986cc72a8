import io
import re

import matplotlib
import numpy as np
import pages
import pytest
import torch
from drawn_digits import DRAWINGS, SEVEN, TEN_DIGITS, draw_page
from own_handwriting import read
from PIL import Image

import common
import recognize

matplotlib.use("agg")  # as if there were no display


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


def test_neighbours_that_nearly_touch_are_two_digits(network):
    images = common.get_dataset(train=False).data[:4].numpy()
    assert read(network, pages.draw_page("four digits", images, 0)) == "7210"


def test_all_digits_of_a_page_from_python(network, tmp_path):
    sheet = Image.new("L", (1200, 900), 235)
    for place, digit in [((100, 100), 2), ((350, 110), 0), ((600, 95), 6), ((40, 500), 7)]:
        drawn = draw_page(TEN_DIGITS[digit]["strokes"], (230, 320), (10, 10), 220, pen=14)
        sheet.paste(drawn, place)
    sheet.save(tmp_path / "page.png")
    answer = r"2 0 6 / 7 \(outputs \d\.\d\d \d\.\d\d \d\.\d\d \d\.\d\d\)$"
    by_name, by_path, by_picture, refused = recognize.recognize(
        [str(tmp_path / "page.png"), tmp_path / "page.png", sheet, tmp_path]
    )
    for reading, name in ((by_name, f"{tmp_path / 'page.png'}: "), (by_picture, "")):
        assert re.match(re.escape(name) + answer, str(reading))
        assert reading.digits == by_path.digits == [2, 0, 6, 7]
    assert refused.digits == []
    assert str(refused).startswith(f"{tmp_path}: no answer: ")
    single = recognize.recognize(sheet, network.net)
    with Image.open(io.BytesIO(single._repr_png_())) as picture:  # below a notebook's cell
        assert picture.size == (840, 245)


def test_one_bad_picture_leaves_the_others_their_answers(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    draw_page(SEVEN).save("seven $x_{.png")
    Image.new("L", (300, 300), 255).save("empty.png")
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    whole = (tmp_path / "seven $x_{.png").read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(np.full((9, 9), np.nan, np.float32)).save("nan.tif")
    files = ["missing.png", "empty.png", "text.png", "photo.heic", "half.png", "nan.tif"]
    files.append("seven*.png")
    monkeypatch.setattr("sys.argv", ["recognize.py", *files, "--out", "seen.png"])
    with pytest.raises(SystemExit) as exit:
        recognize.main()
    assert exit.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [*files[:6], "seven $x_{.png"]
    assert all(": no answer: " in line for line in lines[:6])
    assert lines[0] == "missing.png: no answer: there is no such file"
    assert lines[1] == "empty.png: no answer: the page is empty"
    assert "convert it" in lines[3]
    assert re.search(r": 7 \(output \d\.\d{3}; next is \d with 0\.\d{3}\)$", lines[6])
    with Image.open("seen.png") as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["seven.png", "--model", "seven.png"], "is damaged, or holds something else than tensors"),
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
    with pytest.raises(common.RefusedError, match="--net says which it is"):
        recognize.main()


def test_no_picture_is_replaced_by_what_was_seen_in_it(tmp_path, monkeypatch, run_script):
    monkeypatch.chdir(tmp_path)
    Image.new("L", (100, 100), 255).save("five.png")
    before = (tmp_path / "five.png").read_bytes()
    with pytest.raises(common.RefusedError, match=r"--out would replace"):
        run_script("recognize.py", "five.png", "--out", "./five.png")
    assert (tmp_path / "five.png").read_bytes() == before
