"""A training's course as data and as a bar, read off what real trainings print."""

import io
import platform
import sys
import time

import pandas as pd
import pytest
import torch

import common
import pytorch_mnist
from training import progress

SETTINGS = {"batch_size": 2, "test_each_epoch": True}  # 300 steps an epoch


class OtherNet(pytorch_mnist.Net):
    pass


def train(epochs, **settings):
    torch.manual_seed(1)
    settings = SETTINGS | settings
    return pytorch_mnist.run_network(pytorch_mnist.Net(), epochs=epochs, **settings)


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


def read_without_seconds(file):
    _, rows = progress.read_log(file)
    for row in rows.values():
        del row["seconds"]
    return rows


def test_the_log_is_what_is_printed(small_mnist, tmp_path, capsys):
    train(2, log=tmp_path / "log.csv")
    lines = capsys.readouterr().out.splitlines()
    rows = read_without_seconds(tmp_path / "log.csv")
    assert rows == parse(lines)
    assert list(rows) == [(epoch, step) for epoch in (1, 2) for step in (100, 200, 300)]
    assert rows[2, 300]["test_accuracy"] > 0
    train(2)
    assert capsys.readouterr().out.splitlines() == lines


def test_the_log_says_what_it_takes_to_repeat_the_training(small_mnist, tmp_path):
    torch.manual_seed(7)
    file = tmp_path / "log.csv"
    pytorch_mnist.run_network(
        pytorch_mnist.Net(), epochs=1, lr=0.5, batch_size=6, normalize=True, threads=2, log=file
    )
    training, _ = progress.read_log(file)
    expected = {"network": "Net", "optimizer": "SGD", "lr": 0.5, "batch_size": 6, "compile": False}
    expected |= {"epochs": 1, "seed": 7, "device": "cpu", "threads": 2, "num_images": 600}
    expected |= {"torch": torch.__version__, "python": platform.python_version()}
    assert training.items() >= expected.items()
    assert "Normalize" in training["transform"]
    # The comment is one to others, too.
    table = pd.read_csv(file, comment="#")
    assert list(table) == ["epoch", "step", "loss", "test_accuracy", "seconds"]
    assert len(table) == 1


def test_the_log_has_the_seconds_of_all_sittings(small_mnist, tmp_path):
    files = {"log": tmp_path / "log.csv", "checkpoint": tmp_path / "checkpoint"}
    start = time.perf_counter()
    train(1, **files)
    first_sitting = time.perf_counter() - start
    train(2, **files)
    both_sittings = time.perf_counter() - start
    _, rows = progress.read_log(files["log"])
    seconds = [row["seconds"] for row in rows.values()]
    assert seconds == sorted(seconds)
    assert 0 < seconds[2] < first_sitting
    assert seconds[2] < seconds[5] < both_sittings


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
    assert max(read_without_seconds(files["log"])) == (2, 200)
    train(3, **files)
    train(3, **files)  # finished: only tested
    assert read_without_seconds(files["log"]) == read_without_seconds(tmp_path / "whole.csv")


def test_the_log_is_on_disk_after_each_epoch(small_mnist, tmp_path, monkeypatch):
    """So that a training which is killed can go on in it."""
    file = tmp_path / "log.csv"
    print_progress, seen = common.print_progress, []

    def look(epoch, *arguments):
        if file.exists():
            seen.append(max(progress.read_log(file)[1]))
        print_progress(epoch, *arguments)

    monkeypatch.setattr(common, "print_progress", look)
    train(2, log=file, test_each_epoch=False)
    assert seen == [(1, 300)] * 3


def test_a_test_that_was_interrupted_is_done_again(small_mnist, tmp_path, monkeypatch):
    train(3, log=tmp_path / "whole.csv")
    files = {"log": tmp_path / "log.csv", "checkpoint": tmp_path / "checkpoint"}
    test_network, calls = common.test_network, []

    def interrupt(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return test_network(*arguments)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(common, "test_network", interrupt)
        train(3, **files)
    train(3, **files)
    assert read_without_seconds(files["log"]) == read_without_seconds(tmp_path / "whole.csv")


def test_a_log_is_left_that_goes_beyond_its_checkpoint(small_mnist, tmp_path):
    files = {"log": tmp_path / "log.csv", "checkpoint": tmp_path / "checkpoint"}
    train(2, **files)
    content = files["log"].read_text()
    files["checkpoint"].unlink()
    with pytest.raises(ValueError, match="goes beyond epoch 1, at which this training goes on"):
        train(2, **files)
    assert files["log"].read_text() == content


def test_the_same_command_goes_on_after_an_interruption_in_the_first_epoch(
    small_mnist, tmp_path, monkeypatch
):
    train(1, log=tmp_path / "whole.csv")
    files = {"log": tmp_path / "log.csv", "checkpoint": tmp_path / "checkpoint"}

    def interrupt(*_):
        print("Epoch [1/1], Step [100/300], Loss: 0.5")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(common, "print_progress", interrupt)
        train(1, **files)
    assert list(read_without_seconds(files["log"])) == [(1, 100)]
    assert not files["checkpoint"].exists()
    train(1, **files)
    assert read_without_seconds(files["log"]) == read_without_seconds(tmp_path / "whole.csv")


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({"seed": 2}, "seed is 1, there 2"),
        ({"lr": 0.5}, "lr is 3.0, there 0.5"),
        ({"network": OtherNet()}, "network is 'Net', there 'OtherNet'"),
        ({"network": pytorch_mnist.Net(30)}, "parameters is 79510, there 23860"),
    ],
)
def test_the_log_of_another_training_is_left(small_mnist, tmp_path, other, difference):
    def train_one(epochs, seed=1, network=None, **settings):
        torch.manual_seed(seed)
        return pytorch_mnist.run_network(network or pytorch_mnist.Net(), epochs=epochs, **settings)

    files = {"log": tmp_path / "log.csv", "checkpoint": tmp_path / "checkpoint"}
    train_one(1, log=files["log"], **other)
    content = files["log"].read_text()
    train_one(1, checkpoint=files["checkpoint"])
    with pytest.raises(ValueError, match=f"is the log of another training .{difference}"):
        train_one(2, seed=3, **files)  # the checkpoint's seed counts
    assert files["log"].read_text() == content


def test_a_refused_training_leaves_its_log(small_mnist, tmp_path):
    files = {"log": tmp_path / "log.csv", "checkpoint": tmp_path / "checkpoint"}
    train(2, **files)
    content = files["log"].read_text()
    with pytest.raises(ValueError, match="after epoch 2, and only 1"):
        train(1, **files)
    with pytest.raises(ValueError, match="after epoch 2, and only 1"):
        train(1, checkpoint=files["checkpoint"], log=tmp_path / "new.csv")
    assert files["log"].read_text() == content
    assert not (tmp_path / "new.csv").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("# {}\nepoch,step,loss,test_accuracy,seconds\n", "exists; give a new file"),
        ("epoch,step,loss,test_accuracy,seconds\n", "is no log"),
        ("# 5\nepoch,step,loss,test_accuracy,seconds\n", "is no log"),
        ("mine", "is no log"),
        ("", "is no log"),
    ],
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
