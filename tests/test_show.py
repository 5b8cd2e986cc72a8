import matplotlib
import numpy as np
import pytest
import torch
from conftest import PROJECT
from matplotlib.figure import Figure
from PIL import Image

import common
import show
from files import models
from mnist.images import keep_first
from pytorch_mnist import Net
from training import command_line

matplotlib.use("agg")  # as if there were no display

SCRIPT = PROJECT / "show.py"


class AlwaysThree(Net):
    def forward(self, x):
        outputs = torch.full((len(x), 10), 0.1)
        outputs[:, 3] = torch.linspace(0.5, 0.9, len(x))  # the last image is the surest
        return outputs


@pytest.fixture
def axes():
    """The three parts of the picture of a network that takes every digit for a 3."""
    torch.manual_seed(1)
    figure = Figure(**show.FIGURE)
    show.draw(figure, AlwaysThree(), keep_first(common.get_dataset(train=False), 200))
    return figure.axes


def test_the_surest_mistakes_come_first(axes):
    dataset = common.get_dataset(train=False)
    is_mistake = dataset.targets[:200] != 3
    last = is_mistake.nonzero()[-1].item()
    assert f"{is_mistake.sum()} of 200 images are mistaken; the 100 surest" in axes[0].get_title()
    captions = [text.get_text() for text in axes[0].texts]
    assert len(captions) == 100
    assert captions[0] == f"{dataset.targets[last]} > 3  {0.5 + 0.4 * last / 199:.2f}"
    assert np.array_equal(axes[0].images[0].get_array()[1:29, 1:29], dataset.data[last])


def test_the_confusion_matrix_counts_all_images(axes):
    labels = common.get_dataset(train=False).targets[:200]
    counts = np.array([int(text.get_text()) for text in axes[1].texts]).reshape(10, 10)
    expected = np.zeros((10, 10))
    expected[:, 3] = torch.bincount(labels)
    assert np.array_equal(counts, expected)
    assert (axes[1].get_xlabel(), axes[1].get_ylabel()) == ("answer", "digit")


def test_each_hidden_neuron_s_weights_are_an_image(axes):
    torch.manual_seed(1)
    weights = AlwaysThree().hidden_layer.weight.detach()
    drawn = axes[2].images[0].get_array()
    assert drawn.shape == (300, 300)
    for neuron in (0, 9, 10, 99):
        row, column = divmod(neuron, 10)
        part = drawn[30 * row + 1 : 30 * row + 29, 30 * column + 1 : 30 * column + 29]
        assert np.array_equal(part, weights[neuron].view(28, 28))


def test_tiles_fill_the_last_row_with_nothing():
    tiled = show.tile(np.ones((12, 2, 3)))
    assert tiled.shape == (2 * 4, 10 * 5)
    assert tiled.sum() == 12 * 6
    assert tiled[4:, 10:].sum() == 0


def test_a_saved_network_is_drawn_as_a_png(run, tmp_path):
    models.save_model(Net(), tmp_path / "model.pt")
    result = run(SCRIPT, "model.pt", "--out", "picture.png")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    with Image.open(tmp_path / "picture.png") as image:
        assert (image.format, image.size) == ("PNG", (2400, 1000))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.pt", "--out", "x.png"], "there is no file"),
        (["model.pt", "--out", "no/folder/x.png"], "there is no folder"),
        (["model.pt"], "there is no display"),
        (["model.pt", "--out", "model.pt"], "doesn't end in .png"),
        (["other.pt", "--out", "x.png"], "another network than Net"),
    ],
)
def test_what_can_t_be_shown_is_told(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["show.py", *arguments])
    models.save_model(Net(), "model.pt")
    models.save_model(torch.nn.Linear(2, 2), "other.pt")
    with pytest.raises(SystemExit):
        command_line.run(show.main)
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()
