"""The examples of `docs/change-something.md`, run as a reader types them, on few images.

And the notebook's cell of `docs/own-handwriting.md`.
"""

import ast
import re
import shutil
import sys
import textwrap

import change_something
import matplotlib
import pytest
from conftest import PROJECT, cut
from idx_files import write_data
from matplotlib import pyplot
from PIL import Image
from torchvision.transforms.functional import to_pil_image

import common
from files import models

matplotlib.use("agg")

(_, _, PREAMBLE), *BLOCKS = change_something.read_blocks()
EXAMPLES = [
    pytest.param(code, id=heading, marks=pytest.mark.slow if info == "slow" else ())
    for heading, info, code in BLOCKS
    if info != "file"
]
(SCRIPT,) = [code for _, info, code in BLOCKS if info == "file"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with what a reader has: Fashion-MNIST, and pictures of digits."""
    write_data(tmp_path / "data" / "FashionMNIST" / "raw", num_images=60)
    dataset = cut(common.get_dataset(train=False), 20)
    for index, (image, label) in enumerate(dataset):
        (tmp_path / "pictures" / str(label)).mkdir(parents=True, exist_ok=True)
        to_pil_image(image).save(tmp_path / "pictures" / str(label) / f"{index}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_trains(code, small_mnist, folder, monkeypatch, capsys):
    if ".unfold(0, 10" in code:
        monkeypatch.setattr(common, "BATCH_SIZE", 1)  # or there are less than ten losses
    names = {}
    exec(PREAMBLE, names)
    exec(code, names)
    assert capsys.readouterr().out.splitlines()[-1] == f"Test data results: {names['result']}"


def test_a_notebook_s_cell_draws_what_was_seen(tmp_path, monkeypatch, capsys):
    text = (PROJECT / "docs" / "own-handwriting.md").read_text(encoding="utf-8")
    (cell,) = re.findall(r"(?:    .*\n|\n)*    from .* pyplot\n(?:    .*\n|\n)*", text)
    monkeypatch.chdir(tmp_path)
    Image.new("L", (100, 100), 255).save("photo.jpg")
    exec(textwrap.dedent(cell), {})
    assert capsys.readouterr().out == "photo.jpg: no answer: the page is empty\n"
    assert pyplot.gcf().axes[0].get_title() == "photo.jpg"
    pyplot.close()


def test_each_example_says_what_it_reaches():
    text = (PROJECT / "docs" / "change-something.md").read_text(encoding="utf-8")
    sections = [section for section in text.split("\n## ")[1:] if "```python\n" in section]
    assert len(sections) > 10
    assert [section.split("\n")[0] for section in sections if " %" not in section] == []


def test_a_script_of_one_s_own_has_what_the_others_have(
    small_mnist, tmp_path, monkeypatch, run_script, capsys
):
    """In a folder of the project's scripts: flags, checkpoint, log, a network that is shown."""
    script = tmp_path / "my_experiment.py"
    script.write_text(SCRIPT)
    shutil.copy(PROJECT / "pytorch_mnist.py", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(models, "PROJECT", tmp_path)
    flags = "--seed 1 --epochs 2 --checkpoint my.ckpt --log my.csv --save-model my.pt"
    run_script(script, *flags.split())
    printed = capsys.readouterr().out
    assert printed.startswith("Epoch [1/2], Step [60/60], Loss: ")
    run_script("show.py", "my.pt", "--out", "my.png")
    run_script("show.py", "--log", "my.csv", "--out", "log.png")
    shown = capsys.readouterr().out
    assert shown.startswith("digit  precision  recall")
    run_script(script, *flags.replace("2", "3").split())
    assert capsys.readouterr().out.startswith("Epoch [3/3], ")
    assert models.load("my.ckpt").net.training is False
    sys.modules.pop("my_experiment")


def test_a_script_of_one_s_own_is_short():
    """25 lines at most besides the network."""
    tree = ast.parse(SCRIPT)
    (network,) = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    lines = SCRIPT.splitlines()
    others = lines[: network.lineno - 1] + lines[network.end_lineno :]
    assert len([line for line in others if line and not line.startswith('"""')]) <= 25
