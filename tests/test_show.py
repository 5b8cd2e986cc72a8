import matplotlib
import numpy as np
import pytest
import torch
from conftest import cut
from idx_files import write_data
from matplotlib.figure import Figure
from PIL import Image

import common
import pytorch_mnist
import show
from files.models import TrainedNetwork
from pytorch_mnist import Net
from pytorch_mnist_convnet import DESIGNS
from training import progress

matplotlib.use("agg")  # as if there were no display


@pytest.fixture(scope="module")
def test_set():
    return cut(common.get_dataset(train=False), 200)


class Hasty(Net):
    """Takes every digit for a 3, the last ones for a 5; the last image is the surest."""

    def forward(self, x):
        outputs = torch.full((len(x), 10), 0.1)
        outputs[:180, 3] = torch.linspace(0.5, 0.9, len(x))[:180]
        outputs[180:, 5] = torch.linspace(0.5, 0.9, len(x))[180:]
        return outputs


@pytest.fixture(scope="module")
def axes(test_set):
    """The three parts of the picture of this network."""
    torch.manual_seed(1)
    figure, net = Figure(), Hasty()
    show.draw(figure, net, test_set.data, *show.predict(TrainedNetwork(net), test_set))
    return figure.axes


def test_the_surest_mistakes_come_first_each_above_its_caption(axes, test_set):
    predictions = torch.tensor([3] * 180 + [5] * 20)
    mistakes = (test_set.targets != predictions).nonzero().flatten()
    title = f"{len(mistakes)} of 200 images are mistaken; the 50 surest:"
    assert axes[0].get_title().splitlines()[0] == title
    assert len(axes[0].texts) == 50
    picture = axes[0].images[0].get_array()
    seen = set()
    for text, index in zip(axes[0].texts, reversed(mistakes.tolist()), strict=False):
        caption = f"{test_set.targets[index]} > {predictions[index]}  {0.5 + 0.4 * index / 199:.2f}"
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


def test_the_confusion_matrix_counts_by_digit_and_prediction(axes, test_set):
    expected = np.zeros((10, 10))
    for digit, prediction in zip(test_set.targets, [3] * 180 + [5] * 20, strict=True):
        expected[digit, prediction] += 1
    counts = np.full((10, 10), np.nan)
    for text in axes[1].texts:
        prediction, digit = text.get_position()
        counts[digit, prediction] = int(text.get_text())
    assert np.array_equal(counts, expected)
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


def test_tiles_fill_the_last_row_with_nothing():
    tiled = show.tile(np.ones((12, 2, 3)))
    assert tiled.shape == (2 * 4, 10 * 5)
    assert tiled.sum() == 12 * 6
    assert tiled[4:, 10:].sum() == 0


def test_a_weight_of_0_has_the_middle_colour():
    figure, net = Figure(), Net()
    torch.nn.init.uniform_(net.hidden_layer.weight, -0.1, 0.5)
    show.draw_first_layer(figure.subplots(), net)
    low, high = figure.axes[0].images[0].get_clim()
    assert -low == high == pytest.approx(0.5, abs=0.01)


def test_in_python_a_network_is_shown_as_its_arguments_say(tmp_path, monkeypatch, capsys):
    """It ends in linear outputs, and was trained on normalised inputs."""
    drawn = []
    monkeypatch.setattr(show, "draw", lambda *arguments: drawn.extend(arguments))
    images, _ = write_data(tmp_path / "MNIST" / "raw")
    torch.manual_seed(1)
    net = DESIGNS["simple"].network()
    flags = {"softmax": True, "normalize": True}
    show.show(net, **flags, data_root=tmp_path, out=tmp_path / "x.png")
    with torch.no_grad():
        outputs = net((images[:, None] / 255 - 0.1305) / 0.3081).softmax(dim=1)
    *_, predictions, values = drawn
    assert predictions.tolist() == outputs.argmax(dim=1).tolist()
    assert values.tolist() == pytest.approx(outputs.amax(dim=1).tolist(), rel=1e-4)


@pytest.mark.parametrize("name", DESIGNS)
def test_a_convolutional_network_is_drawn(name, test_set):
    figure, net = Figure(), TrainedNetwork(DESIGNS[name].network(), softmax=True)
    show.draw(figure, net.net, test_set.data, *show.predict(net, test_set))
    assert "20 filters of the first convolution" in figure.axes[2].get_title()
    values = [float(text.get_text().split()[-1]) for text in figure.axes[0].texts]
    assert 1 >= values[0] >= values[-1] >= 0.1  # the largest of ten probabilities


@pytest.mark.parametrize(
    ("first_layer", "shape", "title"),
    [
        (torch.nn.Linear(784, 5).double(), (30, 300), "5 hidden neurons"),
        (torch.nn.Conv2d(1, 20, (3, 5)).bfloat16(), (10, 70), "20 filters of the first"),
        (
            torch.nn.ModuleList([torch.nn.Linear(5, 10), torch.nn.Linear(784, 5)]),
            (30, 300),
            "5 hid",
        ),
        (torch.nn.LSTM(28, 20), None, "No Linear or Conv2d layer sees the pixels"),
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
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading == "digit  precision  recall"
    assert [row.split()[0] for row in rows] == list("0123456789")
    return [float(row.split()[2]) for row in rows]


@pytest.mark.parametrize("normalize", [False, True])
def test_a_saved_network_is_shown_as_it_was_tested(
    normalize, tmp_path, small_mnist, run_script, capsys
):
    """By its file, or by its checkpoint: the accuracy is that of its training script."""
    model, checkpoint = tmp_path / "model.pt", tmp_path / "checkpoint"
    files = {"save_model": model, "checkpoint": checkpoint}
    accuracy = pytorch_mnist.run_network(Net(), epochs=2, normalize=normalize, **files)
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


def test_a_label_above_nine_is_named(tmp_path):
    dataset = cut(common.get_dataset(train=False), 20)
    dataset.targets[3] = 12
    with pytest.raises(common.RefusedError, match=r"there is a label 12, .*ten outputs"):
        show.predict(TrainedNetwork(Net()), dataset)


def test_losses_below_0_are_drawn_too():
    for loss, scale in ((-0.5, "linear"), (0.5, "log")):
        figure, row = Figure(), {"test_accuracy": None, "seconds": 1.0}
        show.draw_learning_curve(
            figure, {(1, 1): row | {"loss": loss}, (1, 2): row | {"loss": 1.0}}
        )
        assert figure.axes[0].get_yscale() == scale
        low, high = figure.axes[0].get_ylim()
        assert low < loss < 1 < high


def test_a_log_is_drawn_over_the_epochs(tmp_path, run_script):
    rows = ["1,100,0.5,,1", "1,200,0.25,0.9,2", "2,100,0.125,,3"]
    head = ["# {}", "epoch,step,loss,test_accuracy,seconds"]
    (tmp_path / "log.csv").write_text("\n".join([*head, *rows, ""]))
    figure = Figure()
    show.draw_learning_curve(figure, progress.read_log(tmp_path / "log.csv")[1])
    losses, accuracies = (axes.lines[0].get_xydata().tolist() for axes in figure.axes)
    assert losses == [[0.5, 0.5], [1, 0.25], [1.5, 0.125]]
    assert accuracies == [[1, 0.9]]
    run_script("show.py", "--log", tmp_path / "log.csv", "--out", tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as image:
        assert (image.format, image.size) == ("PNG", (1000, 400))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.pt", "--out", "x.png"], "there is no file"),
        (["model.pt", "--out", "no/folder/x.png"], r"can't save to no.folder.x\.png: "),
        (["model.pt"], "there is no display"),
        (["model.pt", "--out", "model.pt"], "doesn't end in .png"),
        (["other.pt", "--out", "x.png"], "a network that is none of dense, simple"),
        (["2conv.pt", "--out", "x.png"], "say which by --net"),
        (["model.pt", "--net", "relu", "--out", "x.png"], "other network than ConvNetTwoConvRelu"),
        (["model.pt", "--log", "log.csv", "--out", "x.png"], "give either a saved network"),
        (["--log", "model.pt", "--out", "x.png"], "is no whole log"),
        (["--log", "empty.csv", "--out", "x.png"], "has no lines yet"),
    ],
)
def test_what_can_t_be_shown_is_told(arguments, message, tmp_path, monkeypatch, run_script):
    monkeypatch.chdir(tmp_path)
    torch.save(Net().state_dict(), "model.pt")
    torch.save(torch.nn.Linear(2, 2).state_dict(), "other.pt")
    torch.save(DESIGNS["2conv"].network().state_dict(), "2conv.pt")
    (tmp_path / "empty.csv").write_text("# {}\nepoch,step,loss,test_accuracy,seconds\n")
    with pytest.raises(common.RefusedError, match=message):
        run_script("show.py", *arguments)
    assert not (tmp_path / "x.png").exists()


def test_without_a_model_it_is_the_one_that_comes_along(run_script, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run_script("show.py", "--out", "x.png")
    recalls = [float(line.split()[2]) for line in capsys.readouterr().out.splitlines()[1:]]
    assert len(recalls) == 10
    assert min(recalls) > 0.97
    assert (tmp_path / "x.png").stat().st_size > 10_000
