import matplotlib
import numpy as np
import pytest
import torch
from conftest import PROJECT
from matplotlib.figure import Figure
from mnist.images import keep_first
from PIL import Image

import common
import show
from files import models
from pytorch_mnist import Net
from pytorch_mnist_convnet import DESIGNS
from training import command_line, progress

matplotlib.use("agg")  # as if there were no display

SCRIPT = PROJECT / "show.py"


@pytest.fixture
def test_set():
    return keep_first(common.get_dataset(train=False), 200)


class AlwaysThree(Net):
    def forward(self, x):
        outputs = torch.full((len(x), 10), 0.1)
        outputs[:, 3] = torch.linspace(0.5, 0.9, len(x))  # the last image is the surest
        return outputs


@pytest.fixture
def axes(test_set):
    """The three parts of the picture of a network that takes every digit for a 3."""
    torch.manual_seed(1)
    figure, network = Figure(), AlwaysThree()
    show.draw(figure, network, *show.predict(network, test_set))
    return figure.axes


def test_the_surest_mistakes_come_first(axes, test_set):
    is_mistake = test_set.targets != 3
    last = is_mistake.nonzero()[-1].item()
    assert f"{is_mistake.sum()} of 200 images are mistaken; the 100 surest" in axes[0].get_title()
    captions = [text.get_text() for text in axes[0].texts]
    assert len(captions) == 100
    assert captions[0] == f"{test_set.targets[last]} > 3  {0.5 + 0.4 * last / 199:.2f}"
    assert np.array_equal(axes[0].images[0].get_array()[1:29, 1:29], test_set.data[last])


def test_the_confusion_matrix_counts_all_images(axes, test_set):
    counts = np.array([int(text.get_text()) for text in axes[1].texts]).reshape(10, 10)
    expected = np.zeros((10, 10))
    expected[:, 3] = torch.bincount(test_set.targets)
    assert np.array_equal(counts, expected)
    assert (axes[1].get_xlabel(), axes[1].get_ylabel()) == ("prediction", "digit")


def test_precision_and_recall_are_the_definitions(capsys):
    labels = torch.tensor([0, 0, 0, 1, 1, 2])
    predictions = torch.tensor([0, 0, 1, 1, 0, 1])
    show.print_precision_and_recall(show.count_confusions(labels, predictions))
    _, *rows = capsys.readouterr().out.splitlines()
    assert [row.split() for row in rows[:3]] == [
        ["0", f"{2 / 3:.4f}", f"{2 / 3:.4f}"],
        ["1", f"{1 / 3:.4f}", f"{1 / 2:.4f}"],
        ["2", "0.0000", "0.0000"],
    ]


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


NETWORKS = {"dense": Net, "hidden size": lambda: Net(30)} | {
    name: design.network for name, design in DESIGNS.items()
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("normalized", [False, True])
@torch.no_grad()
def test_every_saved_network_is_known_again_and_drawn(name, normalized, test_set, tmp_path):
    torch.manual_seed(1)
    saved = NETWORKS[name]().eval()
    models.save_model(saved, tmp_path / "model.pt", normalized=normalized)
    design = name if name in ("2conv", "relu") else None  # which look the same
    network, is_normalized = show.load_any_network(tmp_path / "model.pt", design)
    assert is_normalized is normalized
    assert type(network) is type(saved)
    images = torch.rand(3, 1, 28, 28)
    inputs = images.flatten(1) if isinstance(network, Net) else images
    assert torch.equal(network(inputs), saved(inputs))

    figure = Figure()
    show.draw(figure, network, *show.predict(network, test_set))
    what = "hidden neurons" if isinstance(network, Net) else "20 filters of the first convolution"
    assert what in figure.axes[2].get_title()


def test_inputs_are_prepared_as_the_file_says(monkeypatch, tmp_path, capsys):
    given = []
    monkeypatch.setattr(show, "predict", lambda _, dataset: given.append(dataset.transform))
    models.save_model(Net(), tmp_path / "plain.pt")
    models.save_model(Net(), tmp_path / "normalized.pt", normalized=True)
    for flags in (["plain.pt"], ["normalized.pt"], ["plain.pt", "--normalize"]):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", ["show.py", *flags, "--out", "x.png"])
        with pytest.raises(TypeError):  # nothing was predicted
            show.main()
    plain, normalized = common.transformations, common.normalized_transformations
    assert given == [plain, normalized, normalized]


def test_a_saved_network_is_drawn_as_a_png(monkeypatch, tmp_path, small_mnist, capsys):
    models.save_model(Net(), tmp_path / "model.pt")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["show.py", "model.pt", "--out", "picture.png"])
    show.main()
    assert capsys.readouterr().out.startswith("digit  precision  recall\n    0 ")
    with Image.open(tmp_path / "picture.png") as image:
        assert (image.format, image.size) == ("PNG", (2400, 1000))


def test_a_log_is_drawn_over_the_epochs(monkeypatch, tmp_path):
    rows = ["1,100,0.5,,1", "1,200,0.25,0.9,2", "2,100,0.125,,3"]
    head = ["# {}", "epoch,step,loss,test_accuracy,seconds"]
    (tmp_path / "log.csv").write_text("\n".join(head + rows))
    figure = Figure()
    show.draw_course(figure, progress.read_log(tmp_path / "log.csv")[1])
    losses, accuracies = (axes.lines[0].get_xydata().tolist() for axes in figure.axes)
    assert losses == [[0.5, 0.5], [1, 0.25], [1.5, 0.125]]
    assert accuracies == [[1, 0.9]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.pt", "--out", "x.png"], "there is no file"),
        (["model.pt", "--out", "no/folder/x.png"], "there is no folder"),
        (["model.pt"], "there is no display"),
        (["model.pt", "--out", "model.pt"], "doesn't end in .png"),
        (["other.pt", "--out", "x.png"], "another network than Net"),
        (["2conv.pt", "--out", "x.png"], "say which by --net"),
        (
            ["model.pt", "--net", "relu", "--out", "x.png"],
            "another network than ConvNetTwoConvRelu",
        ),
        (["--out", "x.png"], "give either a saved network"),
        (["--log", "model.pt", "--out", "x.png"], "is no log"),
    ],
)
def test_what_can_t_be_shown_is_told(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["show.py", *arguments])
    models.save_model(Net(), "model.pt")
    models.save_model(torch.nn.Linear(2, 2), "other.pt")
    models.save_model(DESIGNS["2conv"].network(), "2conv.pt")
    with pytest.raises(SystemExit):
        command_line.run(show.main)
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()
