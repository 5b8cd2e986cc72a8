"""Progress as data: the log, which others read and which is read back, and the bar."""

import io
import os
import platform
import re
import shutil
import sys
import time

import pytest
import torch

import common
import pytorch_mnist
from common import RefusedError
from training import progress

SETTINGS = {"batch_size": 4, "test_each_epoch": True}  # 150 steps an epoch


class OtherNet(pytorch_mnist.Net):
    pass


def train(epochs, seed=1, net=None, **settings):
    torch.manual_seed(seed)
    return pytorch_mnist.run_network(
        net or pytorch_mnist.Net(), epochs=epochs, **SETTINGS | settings
    )


def read_without_seconds(file):
    _, rows = progress.read_log(file)
    for row in rows.values():
        del row["seconds"]
    return rows


@pytest.fixture
def reported(monkeypatch):
    """What trainings report, by epoch and step; the lines are printed all the same."""
    print_progress, rows = common.print_progress, {}

    def report(epoch, num_epochs, step, num_steps, loss):
        print_progress(epoch, num_epochs, step, num_steps, loss)
        rows[epoch, step] = loss

    monkeypatch.setattr(common, "print_progress", report)
    return rows


@pytest.fixture
def files(tmp_path):
    return {"log": tmp_path / "log.csv", "checkpoint": tmp_path / "checkpoint"}


def test_the_log_has_each_loss_with_all_its_digits_and_each_result(
    small_mnist, tmp_path, capsys, reported
):
    result = train(2, log=tmp_path / "log.csv")
    lines = capsys.readouterr().out.splitlines()
    rows = read_without_seconds(tmp_path / "log.csv")
    assert {place: row["loss"] for place, row in rows.items()} == reported
    assert list(rows) == [(epoch, step) for epoch in (1, 2) for step in (100, 150)]
    assert any(round(loss, 4) != loss for loss in reported.values())
    results = [float(line.split()[-1]) for line in lines if line.startswith("Test")]
    assert [rows[epoch, 150]["test_accuracy"] for epoch in (1, 2)] == results
    assert results[-1] == result > 0
    assert {rows[epoch, 100]["test_accuracy"] for epoch in (1, 2)} == {None}
    train(2)
    assert capsys.readouterr().out.splitlines() == lines


def test_the_log_says_what_it_takes_to_repeat_the_training(small_mnist, tmp_path):
    file = tmp_path / "log.csv"
    train(1, 7, lr=0.5, batch_size=200, normalize=True, threads=2, log=file)
    training, _ = progress.read_log(file)
    expected = {"network": "pytorch_mnist.Net", "arguments": {"hidden_size": 100}, "seed": 7}
    expected |= {"optimizer": "SGD", "lr": 0.5, "batch_size": 200, "loss": "MSELoss()"}
    expected |= {"epochs": 1, "device": "cpu", "threads": 2, "num_images": 600}
    expected |= {"torch": torch.__version__, "python": platform.python_version()}
    assert training.items() >= expected.items()
    assert "Normalize" in training["transform"]
    first, header, *rows = file.read_text().splitlines()
    assert first.startswith("# ")  # a comment to others, too
    assert (header, len(rows)) == ("epoch,step,loss,test_accuracy,seconds", 1)


def test_a_seed_that_does_not_repeat_the_training_is_not_logged(small_mnist, tmp_path, capsys):
    """A second training of a session, after one `torch.manual_seed`; other things drawn."""
    torch.manual_seed(1)
    for name in ("first", "second"):
        net = pytorch_mnist.Net()
        pytorch_mnist.run_network(net, epochs=1, batch_size=300, log=tmp_path / name)
    torch.manual_seed(1)
    net = pytorch_mnist.Net()
    net.output_layer.reset_parameters()
    pytorch_mnist.run_network(net, epochs=1, batch_size=300, log=tmp_path / "third")
    seeds = [progress.read_log(tmp_path / name)[0]["seed"] for name in ("first", "second", "third")]
    assert seeds == [1, None, None]
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" names no seed: ")[0] for line in lines] == [
        str(tmp_path / name) for name in ("second", "third")
    ]


def test_a_training_of_no_known_seed_leaves_the_log_of_seed_0(small_mnist, files):
    train(1, seed=0, log=files["log"])
    content = files["log"].read_text()
    with pytest.raises(RefusedError, match="seed: None here, 0 in the file"):
        pytorch_mnist.run_network(pytorch_mnist.Net(), epochs=1, **SETTINGS, **files)
    assert files["log"].read_text() == content


@pytest.mark.parametrize("place", [(1, 100), (2, 100)])
def test_a_resumed_training_goes_on_in_its_log_without_doubling(
    small_mnist, tmp_path, files, monkeypatch, place
):
    def interrupt(epoch, num_epochs, step, *_):
        if (epoch, step) == place:
            raise KeyboardInterrupt

    train(2, log=tmp_path / "whole.csv")
    start = time.perf_counter()
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(common, "print_progress", interrupt)
        train(2, **files)
    assert files["checkpoint"].exists() == (place[0] > 1)
    for _ in range(2):  # the second time, it is finished, and only tested
        train(2, **files)
        whole = read_without_seconds(tmp_path / "whole.csv")
        assert read_without_seconds(files["log"]) == whole
    seconds = [row["seconds"] for row in progress.read_log(files["log"])[1].values()]
    assert seconds == sorted(seconds)  # of all sittings
    assert 0 < seconds[-1] < time.perf_counter() - start
    content = files["log"].read_text()
    for log in (files["log"], tmp_path / "new.csv"):
        with pytest.raises(RefusedError, match="after epoch 2, and only 1"):
            train(1, checkpoint=files["checkpoint"], log=log)
    assert files["log"].read_text() == content
    assert not (tmp_path / "new.csv").exists()


def test_a_test_that_is_interrupted_is_made_again(small_mnist, tmp_path, files, monkeypatch):
    """The epoch's checkpoint is written after it, so that no log lacks its result."""

    def interrupt(*_):
        raise KeyboardInterrupt

    train(2, log=tmp_path / "whole.csv")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(common, "test_network", interrupt)
        train(2, **files)
    train(2, **files)
    assert read_without_seconds(files["log"]) == read_without_seconds(tmp_path / "whole.csv")


def test_a_training_that_gets_more_epochs_goes_on_in_its_log(small_mnist, tmp_path, files):
    train(2, log=tmp_path / "whole.csv")
    for epochs in (1, 2):
        train(epochs, **files)
    assert read_without_seconds(files["log"]) == read_without_seconds(tmp_path / "whole.csv")
    assert progress.read_log(files["log"])[0]["epochs"] == 2


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps a folder with an open file in it")
def test_a_log_that_can_t_be_written_warns_once_and_the_training_goes_on(
    small_mnist, tmp_path, reported, capsys, monkeypatch
):
    folder = tmp_path / "folder"
    folder.mkdir()
    add_test = progress.Log.add_test

    def add_test_after_removal(log, fraction):
        shutil.rmtree(folder)
        monkeypatch.setattr(progress.Log, "add_test", add_test)
        add_test(log, fraction)

    monkeypatch.setattr(progress.Log, "add_test", add_test_after_removal)
    assert train(3, log=folder / "log.csv") > 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"can't save to {folder / 'log.csv'}: No such file or directory; trying")
    assert max(reported) == (3, 150)


# Refusals


def test_a_log_is_left_that_goes_beyond_its_checkpoint(small_mnist, files):
    train(2, **files)
    content = files["log"].read_text()
    files["checkpoint"].unlink()
    with pytest.raises(RefusedError, match="goes beyond epoch 1, at which this training goes on"):
        train(2, **files)
    assert files["log"].read_text() == content


@pytest.mark.parametrize(
    ("other", "difference"),
    [
        ({"seed": 2}, "seed: 1 here, 2 in the file"),
        ({"lr": 0.5}, "lr: 3.0 here, 0.5 in the file"),
        ({"net": OtherNet()}, "network: 'pytorch_mnist.Net' here, '.*OtherNet' in the file"),
        ({"net": pytorch_mnist.Net(30)}, "parameters: 79510 here, 23860 in the file"),
    ],
)
def test_the_log_of_another_training_is_left(small_mnist, files, other, difference):
    train(1, log=files["log"], **other)
    content = files["log"].read_text()
    train(1, checkpoint=files["checkpoint"])
    match = f"is the log of another training .*{difference}"
    with pytest.raises(RefusedError, match=match):
        train(2, seed=3, **files)  # the checkpoint's seed counts
    assert files["log"].read_text() == content


HEADER = "epoch,step,loss,test_accuracy,seconds\n"
ROW = "1,100,0.5,,0.1\n"


@pytest.mark.parametrize(
    "content",
    [
        *("", "mine", "a photo\0", HEADER, f"# 5\n{HEADER}", f"# {'[' * 100_000}\n{HEADER}"),
        f"# {{}}\n{HEADER}{ROW}"[:-4],  # cut in its last row
        f"# {{}}\n{HEADER}{ROW}"[:-1],
        *(
            f"# {{}}\n{HEADER}{row}\n"
            for row in (
                *("1,100,0.5,0.9", "1,100,0.5,,0.1,7", "1,100,,,0.1", "1,100,nan,,0.1", ",,,,"),
                *("1,0,0.5,,0.1", "0,100,0.5,,0.1", "-1,100,0.5,,0.1", "1.5,100,0.5,,0.1"),
                *("1,100,0.5,97.8,0.1", "1,100,0.5,null,0.1", "1,100,0.5,nan,0.1"),
                *("1,100,0.5,,-1", "1,100,0.5,,nan", f"{ROW}{ROW[:-1]}", f"1,200,1,,1\n{ROW[:-1]}"),
            )
        ),
    ],
)
def test_what_is_no_whole_log_is_refused_and_left(small_mnist, files, content):
    files["log"].write_text(content)
    name = re.escape(str(files["log"]))
    with pytest.raises(RefusedError, match=f"^{name} is no whole log, as --log writes it$"):
        progress.read_log(files["log"])
    with pytest.raises(RefusedError, match=f"^{name} exists; give a new file, or the checkpoint"):
        progress.Log(files["log"], {})
    assert files["log"].read_text() == content


def test_what_can_t_be_a_log_is_refused_before_it_is_read(tmp_path):
    file = tmp_path / "log.csv"
    with open(file, "wb") as stream:
        stream.truncate(500_000_001)
    start = time.perf_counter()
    with pytest.raises(RefusedError, match="is no whole log"):
        progress.read_log(file)
    assert time.perf_counter() - start < 1
    for other in (os.devnull, tmp_path, tmp_path / "missing"):
        with pytest.raises(RefusedError, match=f"there is no file {re.escape(str(other))}"):
            progress.read_log(other)


# The bar


def test_quiet_prints_results_only_and_no_bar_in_a_file(small_mnist, capsys):
    train(2, quiet=True)
    stdout, stderr = capsys.readouterr()
    results = [line.split(":")[0] for line in stdout.splitlines() if line]
    assert results == ["Test data results"] * 2  # each epoch's, the last one once
    assert stderr == ""


@pytest.mark.parametrize("is_resumed", [False, True])
def test_quiet_moves_a_bar_in_a_terminal(is_resumed, small_mnist, tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    settings = {"checkpoint": tmp_path / "checkpoint"} if is_resumed else {}
    if is_resumed:
        train(1, **settings)
    monkeypatch.setattr(sys, "stderr", terminal)
    train(2, quiet=True, **settings)
    last = terminal.getvalue().split("\r")[-1]
    assert "100%" in last
    assert "300/300" in last


def test_stdout_is_left_alone(small_mnist, tmp_path, capsys, monkeypatch):
    """What a network prints of its own is there at once, under --quiet and --log, too."""

    class Telling(pytorch_mnist.Net):
        def forward(self, x):
            if self.training:
                print("mine")
                seen.append((sys.stdout is stdout, capsys.readouterr().out.count("mine")))
            return super().forward(x)

    seen, stdout = [], sys.stdout
    files = {"log": tmp_path / "log.csv", "save_model": tmp_path / "model.pt"}
    train(1, net=Telling(), quiet=True, batch_size=300, **files)
    assert seen == [(True, 1)] * 2
