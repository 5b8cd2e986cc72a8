"""What is measured of an output neuron, against autograd and by hand."""

import argparse

import numpy as np
import pandas as pd
import pytest
import torch
from idx_files import write_data
from torch.utils.data import Subset
from training_checks import compute_cost, record_networks

from pytorch_mnist import Net
from study import trace, variants
from study.variants import VARIANTS


@pytest.fixture
def images():
    """The inputs and labels of 500 training images."""
    dataset = variants.get_train_loader(VARIANTS["article"]).dataset
    images, labels = variants.read_all(Subset(dataset, range(500)))
    return images.flatten(1), labels


@pytest.mark.parametrize("name", ["article", "init+cost"])
def test_the_gradient_is_autograd_s(images, name):
    torch.manual_seed(1)
    net = variants.create_network(VARIANTS[name])
    rows = trace.measure(net, *images, VARIANTS[name])
    inputs, labels = images
    compute_cost(VARIANTS[name], net(inputs), labels).backward()
    weights, biases = net.output_layer.weight.grad, net.output_layer.bias.grad
    expected = (weights.square().sum(dim=1) + biases.square()).sqrt().tolist()
    assert [row["digit"] for row in rows] == list(range(10))
    assert [row["gradient"] for row in rows] == pytest.approx(expected, rel=1e-4)


def test_a_network_whose_outputs_are_known(images):
    """Output 3 is sigmoid(-4) for each image, the others sigmoid(-5); all hidden neurons are 0.5.

    Except for one, which is saturated.
    """
    net = Net()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
        net.output_layer.bias.fill_(-5)
        net.output_layer.bias[3] = -4
        net.hidden_layer.bias[0] = -9
    for digit, recognised, z in ((3, 1, -4), (8, 0, -5)):
        measured = trace.measure(net, *images, VARIANTS["article"])[digit]
        a = torch.sigmoid(torch.tensor(float(z))).item()
        assert measured["recognised"] == recognised
        assert measured["output"] == pytest.approx(a)
        assert measured["derivative"] == pytest.approx(a * (1 - a))
        assert measured["hidden_saturated"] == pytest.approx(0.01)


def test_medians_are_over_the_digit_s_own_images(images):
    """Of a network whose outputs differ from image to image, by numpy."""
    torch.manual_seed(1)
    net = variants.create_network(VARIANTS["init"])
    inputs, labels = images
    outputs = net(inputs).detach().double().numpy()
    for row in trace.measure(net, inputs, labels, VARIANTS["init"]):
        its_outputs = np.sort(outputs[labels.numpy() == row["digit"], row["digit"]])
        middle = its_outputs[(len(its_outputs) - 1) // 2]  # PyTorch takes the lower one of two
        assert row["output"] == pytest.approx(middle, rel=1e-4)
        derivatives = np.sort((1 - its_outputs) * its_outputs)
        middle = derivatives[(len(derivatives) - 1) // 2]
        assert row["derivative"] == pytest.approx(middle, rel=1e-3)


def test_each_flag_reaches_the_work(tmp_path, home, monkeypatch, capsys):
    """And `~` is the home folder."""
    images, labels = write_data(tmp_path / "data" / "MNIST" / "raw", num_images=30)
    flags = "article:1 init:2 --epochs 3 --data-root ~/data --results ~/results"
    monkeypatch.setattr("sys.argv", ["trace.py", *flags.split()])
    trace.main()
    table = pd.read_csv(tmp_path / "results" / "trace.csv")
    assert table.groupby(["variant", "seed"])["epoch"].max().to_dict() == {
        ("article", 1): 3,
        ("init", 2): 3,
    }
    torch.manual_seed(2)
    net = variants.create_network(VARIANTS["init"])
    untrained = trace.measure(net, images.flatten(1) / 255, labels.long(), VARIANTS["init"])
    traced = table[(table["variant"] == "init") & (table["epoch"] == 0)]
    assert traced["output"].tolist() == pytest.approx(
        [row["output"] for row in untrained], rel=1e-3
    )
    assert (tmp_path / "results" / "trace.png").stat().st_size > 10_000


def test_it_is_the_study_s_training_that_is_traced(monkeypatch):
    """From the untrained network on, as measured on its training images."""
    monkeypatch.setattr(variants, "BOOK_TRAINING_SIZE", 2_000)
    table = trace.trace("cost+data", 2, epochs=2)
    assert table["epoch"].tolist() == [0] * 10 + [1] * 10 + [2] * 10
    assert (table["variant"].unique(), table["seed"].unique()) == (["cost+data"], [2])

    variant = VARIANTS["cost+data"]
    images, labels = variants.read_all(variants.get_train_loader(variant).dataset)
    trained = record_networks(monkeypatch)
    variants.train("cost+data", [2], epochs=2)
    torch.manual_seed(2)
    for epoch, net in ((0, Net()), (2, trained[-1])):
        for row in trace.measure(net, images.flatten(1), labels, variant):
            traced = table[(table["epoch"] == epoch) & (table["digit"] == row["digit"])]
            assert traced[list(row)].to_dict("records") == [pytest.approx(row)]


def test_runs_are_parsed():
    assert trace.parse_run("init+cost:7") == ("init+cost", 7)


@pytest.mark.parametrize("text", ["init", "init:", "init:-1", "other:1", "init:a", "init:1:8"])
def test_unusable_runs_are_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not VARIANT:SEED"):
        trace.parse_run(text)


def test_a_seed_that_pytorch_can_t_take_is_refused():
    with pytest.raises(argparse.ArgumentTypeError, match=r"is not a whole number, 0 to 2\*\*64"):
        trace.parse_run("init:99999999999999999999")
