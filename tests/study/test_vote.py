import sys

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import PROJECT, cut
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from idx_files import write_data

import common
import pytorch_mnist
import pytorch_mnist_convnet
from files import models
from study import vote


@given(
    arrays.arrays(
        np.float64,
        st.tuples(st.integers(1, 5), st.integers(1, 4), st.just(10)),
        elements=st.floats(0, 1),
    )
)
def test_the_majority_decides_and_the_mean_among_equals(outputs):
    majority, mean = vote.vote(torch.from_numpy(outputs))
    assert mean.tolist() == outputs.mean(axis=0).argmax(axis=1).tolist()
    for image, digit in enumerate(majority.tolist()):
        votes = np.bincount(outputs[:, image].argmax(axis=1), minlength=10)
        best = np.flatnonzero(votes == votes.max())
        assert digit in best
        means = outputs[:, image].mean(axis=0)
        assert means[digit] >= means[best].max() - 1e-12


def test_a_network_s_outputs_outweigh_no_vote():
    """Linear ones, as of a network whose loss isn't known."""
    outputs = torch.zeros(5, 1, 10)
    outputs[:2, 0, 4] = 1
    outputs[2:4, 0, 8] = 5
    outputs[4, 0, 7] = 1000
    majority, mean = vote.vote(outputs)
    assert (majority.tolist(), mean.tolist()) == ([8], [7])


def test_networks_trained_here_vote(small_mnist, tmp_path, monkeypatch, capsys):
    files = [str(tmp_path / f"simple-{seed}.pt") for seed in (1, 2, 3)]
    for seed, file in enumerate(files, start=1):
        torch.manual_seed(seed)
        net = pytorch_mnist_convnet.ConvNetSimple()
        pytorch_mnist_convnet.run_network(net, epochs=1, lr=0.1, threads=1, save_model=file)
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["vote", *files])
    vote.main()

    test_set = common.get_dataset(train=False)
    predictions = [
        models.load(file)(test_set.data.unsqueeze(1) / 255).argmax(dim=1) for file in files
    ]
    lines = capsys.readouterr().out.splitlines()
    for line, file, digits in zip(lines, files, predictions, strict=False):
        right = (digits == test_set.targets).sum().item()
        assert line == f"{file}: {100 * right / len(test_set):.2f} %"
    agreed = torch.stack(predictions).mode(dim=0).values  # of three, two that agree
    decided = torch.stack([(digits == agreed) for digits in predictions]).sum(dim=0) >= 2
    right = ((agreed == test_set.targets) & decided).sum().item()
    undecided = (~decided).sum().item()
    majority = float(lines[3].removeprefix("majority: ").removesuffix(" %"))
    assert right - 1e-6 <= majority * len(test_set) / 100 <= right + undecided + 1e-6
    assert lines[4].startswith("mean of outputs: ")

    monkeypatch.setattr(sys, "argv", ["vote", *files, "--keep"])
    vote.main()
    assert capsys.readouterr().out.splitlines() == lines
    monkeypatch.setattr(sys, "argv", ["vote", str(tmp_path / "*.pt.npz")])
    vote.main()
    again = capsys.readouterr().out.splitlines()
    assert again[0] == lines[0].replace(files[0], f"{files[0]}.npz")
    assert again[3:] == lines[3:]


def test_the_lines_are_of_the_data_of_the_flag(tmp_path, monkeypatch, capsys):
    """Two networks say 1, a third is so sure of 2 that the mean is 2: of all images."""
    _, labels = write_data(tmp_path / "MNIST" / "raw", num_images=25)  # three of 1, two of 2
    files = []
    for name, one, two in (("a.pt", 0.6, 0.55), ("b.pt", 0.6, 0.55), ("c.pt", 0.1, 0.99)):
        net = pytorch_mnist.Net()
        torch.nn.init.zeros_(net.output_layer.weight)
        outputs = torch.tensor([0.1, one, two, *[0.1] * 7])
        net.output_layer.bias.data = outputs.logit()
        files.append(str(tmp_path / name))
        torch.save(net.state_dict(), files[-1])
    monkeypatch.setattr(sys, "argv", ["vote", *files, "--data-root", str(tmp_path)])
    vote.main()
    ones, twos = (f"{100 * (labels == digit).sum() / 25:.2f} %" for digit in (1, 2))
    assert (ones, twos) == ("12.00 %", "8.00 %")
    names = [*files, "majority", "mean of outputs"]
    shares = [ones, ones, twos, ones, twos]
    lines = capsys.readouterr().out.splitlines()
    assert lines[:5] == [f"{name}: {share}" for name, share in zip(names, shares, strict=True)]


def test_other_files_than_outputs_of_the_test_set_are_refused(tmp_path):
    test_set = cut(common.get_dataset(train=False), 30)
    file = str(tmp_path / "outputs.npz")
    vote.keep_outputs(torch.rand(30, 10), file)
    assert vote.get_outputs(file, test_set).shape == (30, 10)
    vote.keep_outputs(torch.rand(20, 10), file)
    with pytest.raises(common.RefusedError, match=r"\[20, 10\] outputs, not those of the test set"):
        vote.get_outputs(file, test_set)
    vote.keep_outputs(torch.full((30, 10), torch.nan), file)
    with pytest.raises(common.RefusedError, match="no finite fractions"):
        vote.get_outputs(file, test_set)
    (tmp_path / "outputs.npz").write_bytes(b"PK")
    with pytest.raises(common.RefusedError, match=r"outputs\.npz holds no outputs"):
        vote.get_outputs(file, test_set)


@pytest.mark.parametrize("again", ["one.pt", "./one.pt", "one.pt.npz"])
def test_no_network_votes_twice(again, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["vote", "one.pt", "two.pt", again])
    with pytest.raises(common.RefusedError, match=r"one\.pt and its network would vote twice"):
        vote.main()


def test_the_committed_outputs_are_of_the_committed_trainings():
    curves = pd.read_csv(PROJECT / "results" / "convnets.csv").query("inputs == '0 to 1'")
    last = curves[curves["epoch"] == curves["epochs"]].set_index(["experiment", "seed"])["accuracy"]
    test_set = common.get_dataset(train=False)
    files = list((PROJECT / "results" / "votes").iterdir())
    assert files
    for file in files:
        design, seed = file.stem.split("-")
        predictions = vote.get_outputs(str(file), test_set).argmax(dim=1)
        share = (predictions == test_set.targets).double().mean().item()
        assert 100 * share == pytest.approx(last[design, int(seed)], abs=1e-6)
