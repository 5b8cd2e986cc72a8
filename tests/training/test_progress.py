"""A training's course as data and as a bar, read off what real trainings print."""

import io
import sys

import pytest
import torch

import common
import pytorch_mnist
from training import progress

SETTINGS = {"batch_size": 2, "test_each_epoch": True}  # 300 steps an epoch


def train(epochs, **settings):
    torch.manual_seed(1)
    return pytorch_mnist.run_network(pytorch_mnist.Net(), epochs=epochs, **SETTINGS, **settings)


def parse(lines):
    """The rows that a log of these lines should have."""
    rows = {}
    for line in lines:
        if line.startswith("Epoch"):
            epoch, step = line.split("[")[1].split("/")[0], line.split("[")[2].split("/")[0]
            rows[int(epoch), int(step)] = {"loss": float(line.split()[-1]), "test_accuracy": None}
        elif line:
            rows[max(rows)]["test_accuracy"] = float(line.split()[-1])
    return rows


def test_the_log_is_what_is_printed(small_mnist, tmp_path, capsys):
    train(2, log=tmp_path / "log.csv")
    lines = capsys.readouterr().out.splitlines()
    rows = progress.read_log(tmp_path / "log.csv")
    assert rows == parse(lines)
    assert list(rows) == [(epoch, step) for epoch in (1, 2) for step in (100, 200, 300)]
    assert rows[2, 300]["test_accuracy"] > 0
    train(2)
    assert capsys.readouterr().out.splitlines() == lines


def test_a_resumed_training_goes_on_in_its_log_without_doubling(
    small_mnist, tmp_path, capsys, monkeypatch
):
    train(3, log=tmp_path / "whole.csv")

    files = {"log": tmp_path / "log.csv", "checkpoint": tmp_path / "checkpoint"}
    print_progress, calls = common.print_progress, []

    def interrupt(epoch, *arguments):
        print_progress(epoch, *arguments)
        calls.append(epoch)
        if calls.count(2) == 2:  # in the middle of the second epoch
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(common, "print_progress", interrupt)
        train(3, **files)
    assert max(progress.read_log(files["log"])) == (2, 200)
    train(3, **files)
    train(3, **files)  # finished: only tested
    assert files["log"].read_text() == (tmp_path / "whole.csv").read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [("epoch,step,loss,test_accuracy\n", "exists; give a new file"), ("mine", "is no log")],
)
def test_a_file_that_is_there_is_left(small_mnist, tmp_path, content, message, capsys):
    file = tmp_path / "log.csv"
    file.write_text(content)
    with pytest.raises(ValueError, match=message):
        train(1, log=file)
    assert file.read_text() == content
    assert capsys.readouterr().out == ""


def test_quiet_prints_results_only_and_no_bar_in_a_file(small_mnist, capsys):
    train(2, quiet=True)
    stdout, stderr = capsys.readouterr()
    assert [line.split(":")[0] for line in stdout.splitlines()] == ["Test data results"] * 3
    assert stderr == ""


def test_quiet_moves_a_bar_in_a_terminal(small_mnist, capsys, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    train(2, quiet=True)
    last = terminal.getvalue().split("\r")[-1]
    assert "100%" in last
    assert "600/600" in last
