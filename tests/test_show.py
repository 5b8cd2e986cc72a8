import itertools
import sys
from unittest.mock import patch

import matplotlib
import numpy as np
import pytest
import torch
from conftest import cut
from idx_files import write_data
from matplotlib import pyplot
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from PIL import Image

import common
import pytorch_mnist
import show
from pytorch_mnist import Net
from pytorch_mnist_convnet import DESIGNS
from training.run import Run
from training.saved import read_log

matplotlib.use("agg")  # as if there were no display


@pytest.fixture
def test_set(monkeypatch):
    """The first 200 test images, which are then all that there are."""
    test_set = cut(common.get_dataset(train=False), 200)
    monkeypatch.setattr(common, "get_dataset", lambda root, train: test_set)
    return test_set


def draw(net, **settings):
    """Return the axes that `show.show(net)` draws, in a window that nobody sees."""
    pyplot.close("all")
    with patch.object(show, "check_out"):  # there is no display
        show.show(net, **settings)
    return pyplot.gcf().axes


class Hasty(Net):
    """Takes every digit for a 3, the last ones for a 5; the last image is the surest."""

    def forward(self, x):
        outputs = torch.full((len(x), 10), 0.1)
        outputs[:180, 3] = torch.linspace(0.5, 0.9, len(x))[:180]
        outputs[180:, 5] = torch.linspace(0.5, 0.9, len(x))[180:]
        return outputs


@pytest.fixture
def axes(test_set):
    """The parts of the picture of this network, and of its colours."""
    torch.manual_seed(1)
    return draw(Hasty())


def test_the_surest_mistakes_come_first_each_above_its_caption(axes, test_set):
    predictions = torch.tensor([3] * 180 + [5] * 20)
    mistakes = (test_set.targets != predictions).nonzero().flatten()
    assert axes[0].get_title().startswith(f"The 50 surest of {len(mistakes)} mistakes: ")
    assert len(axes[0].texts) == 50
    picture = axes[0].images[0].get_array()
    seen = set()
    for text, index in zip(axes[0].texts, reversed(mistakes.tolist()), strict=False):
        caption = f"{test_set.targets[index]} → {predictions[index]}  {0.5 + 0.4 * index / 199:.2f}"
        assert text.get_text() == caption
        x, y = text.get_position()
        left, bottom = x - 14, y // 39 * 39 + 29  # of the small picture, 28 pixels square
        small_picture = picture[int(bottom - 28) : int(bottom), int(left) : int(left + 28)]
        assert np.array_equal(small_picture, test_set.data[index])
        assert not picture[int(bottom) : int(y) + 1, int(left) : int(left + 28)].any()
        assert text.get_va() == "bottom"
        assert y - bottom > 6  # so that the line above y doesn't cover the picture
        seen.add((x, y))
    assert len(seen) == 50


def test_the_confusion_matrix_counts_by_digit_and_prediction_and_leaves_zeros_out(axes, test_set):
    expected = np.zeros((10, 10))
    for digit, prediction in zip(test_set.targets, [3] * 180 + [5] * 20, strict=True):
        expected[digit, prediction] += 1
    counts = np.zeros((10, 10))
    for text in axes[1].texts:
        prediction, digit = text.get_position()
        counts[digit, prediction] = int(text.get_text())
    assert np.array_equal(counts, expected)
    assert len(axes[1].texts) == np.count_nonzero(expected)
    mistakes = expected * (1 - np.eye(10))
    assert np.array_equal(axes[1].images[0].get_array(), mistakes)
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
    weights = Hasty().hidden_layer.weight.detach()
    drawn = axes[2].images[0].get_array()
    assert drawn.shape == (300, 300)
    for neuron in (0, 9, 10, 99):
        row, column = divmod(neuron, 10)
        part = drawn[30 * row + 1 : 30 * row + 29, 30 * column + 1 : 30 * column + 29]
        assert np.array_equal(part, weights[neuron].view(28, 28))


def test_in_python_a_network_is_shown_as_its_arguments_say(test_set):
    """It ends in linear outputs, and was trained on normalised inputs."""
    torch.manual_seed(1)
    net = DESIGNS["simple"].network()
    axes = draw(net, softmax=True, normalize=True)
    with torch.no_grad():
        outputs = net((test_set.data[:, None] / 255 - 0.1305) / 0.3081).softmax(dim=1)
    values, predictions = outputs.max(dim=1)
    surest = values[predictions != test_set.targets].sort(descending=True).values[:50]
    shown = [float(text.get_text().split()[-1]) for text in axes[0].texts]
    assert shown == pytest.approx(surest.tolist(), abs=0.006)


@pytest.mark.parametrize(
    "net",
    [Net(200), *(design.network() for design in DESIGNS.values())],
    ids=["200", *DESIGNS],
)
def test_nothing_in_the_picture_overlaps_or_is_cut(net, test_set):
    axes = draw(net, softmax=True, source="a long name " * 10)
    figure = axes[0].figure
    figure.canvas.draw()
    boxes = [part.get_tightbbox() for part in axes]
    boxes.append(figure._suptitle.get_window_extent())
    width, height = figure.canvas.get_width_height()
    for box in boxes:
        assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
    for box, other in itertools.combinations(boxes, 2):
        assert Bbox.intersection(box, other) is None


@pytest.mark.parametrize(
    ("first_layer", "shape", "title"),
    [
        (torch.nn.Linear(784, 5).double(), (60, 90), "5 hidden neurons"),
        (torch.nn.Conv2d(1, 20, (3, 5)).bfloat16(), (4 * 29, 5 * 27), "20 filters"),
        (torch.nn.AvgPool2d(2), None, "No Linear or Conv2d layer sees the pixels"),
    ],
)
def test_what_a_first_layer_of_another_kind_looks_for(first_layer, shape, title):
    figure, net = Figure(), torch.nn.Sequential(first_layer, torch.nn.Linear(196, 10))
    show.draw_first_layer(figure.subplots(), net)
    axes = figure.axes[0]
    assert title in axes.get_title()
    assert [image.get_array().shape for image in axes.images] == ([] if shape is None else [shape])


def read_recalls(capsys):
    _, _, heading, *rows = capsys.readouterr().out.splitlines()
    assert heading == "digit  precision  recall"
    assert [row.split()[0] for row in rows] == list("0123456789")
    return [float(row.split()[2]) for row in rows]


@pytest.mark.parametrize("normalize", [False, True])
def test_a_saved_network_is_shown_as_it_was_tested(
    normalize, tmp_path, small_mnist, run_script, capsys
):
    """By its file, or by its checkpoint: the accuracy is that of its training script."""
    model, checkpoint = tmp_path / "model.pt", tmp_path / "checkpoint"
    data = {"transform": common.normalized_transformations} if normalize else {}
    with Run(save_model=model, checkpoint=checkpoint, data=data) as run:
        accuracy = pytorch_mnist.run_network(Net(), run, epochs=2, **data)
    capsys.readouterr()
    numbers = torch.bincount(common.get_dataset(train=False).targets).tolist()
    for file in (model, checkpoint):
        run_script("show.py", file, "--out", tmp_path / "picture.png")
        recalls = read_recalls(capsys)
        recognised = sum(recall * n for recall, n in zip(recalls, numbers, strict=True))
        assert recognised / 600 == pytest.approx(accuracy, abs=1e-4)
        with Image.open(tmp_path / "picture.png") as image:
            assert (image.format, image.size) == ("PNG", (1000, 1100))


def test_the_data_are_those_of_the_flag(tmp_path, run_script, capsys):
    images, labels = write_data(tmp_path / "data" / "MNIST" / "raw")
    net = Net()
    torch.save(net.state_dict(), tmp_path / "model.pt")
    flags = ["--data-root", tmp_path / "data", "--out", tmp_path / "x.png"]
    run_script("show.py", tmp_path / "model.pt", *flags)
    is_right = net(images[:, None] / 255).argmax(dim=1) == labels
    expected = [is_right[labels == digit].float().mean().item() for digit in range(10)]
    assert read_recalls(capsys) == pytest.approx(expected)


def test_a_log_is_drawn_over_the_epochs(tmp_path, run_script):
    """Each loss, a running mean that stands in the middle of what it is of, each test."""
    losses = [0.5, 0.25, *[0.125] * 38]
    rows = [f"{1 + i // 20},{100 * (i % 20 + 1)},{loss},,1" for i, loss in enumerate(losses)]
    rows[19] = "1,2000,0.125,0.9,1"
    head = ["# {}", "epoch,step,loss,test_accuracy,seconds"]
    (tmp_path / "log.csv").write_text("\n".join([*head, *rows, ""]))
    figure = Figure()
    show.draw_learning_curve(figure, read_log(tmp_path / "log.csv")[1])
    raw, mean, tests = (line.get_xydata() for axes in figure.axes for line in axes.lines)
    assert raw == pytest.approx(np.array([[(1 + i) / 20, loss] for i, loss in enumerate(losses)]))
    assert mean[:3] == pytest.approx(np.array([[0.05, 0.375], [0.1, 0.1875], [0.15, 0.125]]))
    assert tests[np.isfinite(tests[:, 1])].tolist() == [[1, 0.9]]
    run_script("show.py", "--log", tmp_path / "log.csv", "--out", tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as image:
        assert (image.format, image.size) == ("PNG", (1000, 400))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.pt", "--out", "x.png"], "can't read missing.pt"),
        (["model.pt", "--out", "no/folder/x.png"], r"can't write .*no.folder.x\.png: "),
        (["model.pt"], "there is no display"),
        (["model.pt", "--out", "model.pt"], "doesn't end in .png"),
        (["other.pt", "--out", "x.png"], "other.pt holds no network of this folder"),
        (["2conv.pt", "--out", "x.png"], "--net says which it is"),
        (["--log", "model.pt", "--out", "x.png"], "is no log"),
        (["--log", "empty.csv", "--out", "x.png"], "has no lines yet"),
    ],
)
def test_what_can_t_be_shown_is_told(arguments, message, tmp_path, monkeypatch, run_script):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)  # of another test's
    torch.save(Net().state_dict(), "model.pt")
    torch.save(torch.nn.Linear(2, 2).state_dict(), "other.pt")
    torch.save(DESIGNS["2conv"].network().state_dict(), "2conv.pt")
    (tmp_path / "empty.csv").write_text("# {}\nepoch,step,loss,test_accuracy,seconds\n")
    with pytest.raises(common.RefusedError, match=message):
        run_script("show.py", *arguments)
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize("flags", [["model.pt"], ["--model", "model.pt"], []])
def test_it_says_which_network_it_shows(flags, test_set, run_script, tmp_path, monkeypatch, capsys):
    """In a line, and in the picture's title; without a name, it is the one that comes along."""
    monkeypatch.chdir(tmp_path)
    torch.save(Net(30).state_dict(), "model.pt")
    with patch("matplotlib.figure.Figure.suptitle") as suptitle:
        run_script("show.py", *flags, "--out", "x.png")
    lines = capsys.readouterr().out.splitlines()
    assert suptitle.call_args.args == ("\n".join(lines[:2]),)
    if flags:
        assert lines[0] == "model.pt: Net(hidden_size=30)"
    else:
        assert lines[0].startswith("the network that comes along, handwriting/digits.pt: ConvNet")
        assert int(lines[1].split()[0]) >= 198  # of 200
