"""Flags, seeds, devices."""

import re
import sys

import pytest
import torch

from common import RefusedError
from training import command_line
from training.checkpoint import Checkpoint


@pytest.fixture
def parser():
    return command_line.create_parser("A test.", epochs=30, lr=3.0)


@pytest.fixture
def start_with(parser, monkeypatch):
    """Return a function that calls `command_line.start` with flags."""

    def start_with(*flags):
        monkeypatch.setattr(sys, "argv", ["script", *map(str, flags)])
        return command_line.start(parser)

    return start_with


# Flags


def test_defaults_are_the_article_s(parser):
    assert vars(parser.parse_args([])) == {
        "epochs": 30,
        "lr": 3.0,
        "batch_size": 10,
        "device": torch.device("cpu"),
        "threads": 1,
        "data_root": "./data",
        "seed": None,
        "save_model": None,
        "checkpoint": None,
        "test_each_epoch": False,
        "normalize": False,
        "log": None,
        "quiet": False,
    }


def test_help_names_each_flag_and_its_default(parser):
    text = " ".join(parser.format_help().split())
    defaults = {
        "--epochs N": "30",
        "--lr RATE": "3.0",
        "--batch-size N": "10",
        "--threads N": "1",
        "--seed N": "drawn, or the checkpoint's",
        "--device NAME": "cpu",
        "--data-root FOLDER": "./data",
        "--save-model FILE": "nowhere",
        "--checkpoint FILE": "nowhere",
        "--log FILE": "nowhere",
        "--test-each-epoch": "no",
        "--normalize": "no",
        "--quiet": "no",
    }
    for flag, default in defaults.items():
        pattern = rf"{flag} [^(]*(\([^)]*\) )?[^(]*\(default: {re.escape(default)}\)"
        assert re.search(pattern, text), flag
    assert {flag.split()[0] for flag in defaults} | {"--help"} == set(
        re.findall(r"--[a-z-]+", text)
    )


@pytest.mark.parametrize(
    "flags",
    [
        *("--epochs 0", "--epochs -1", "--epochs 1.5", "--epochs", "--epoch 3", "extra"),
        *("--lr 0", "--lr -3", "--lr nan", "--lr inf", "--lr fast"),
        *("--batch-size 0", "--threads 0", "--threads 2147483648"),
        *("--seed -1", "--seed 18446744073709551616"),
        *("--device gpu", "--device meta", "--device cuda:99"),
    ],
)
def test_unusable_flags_are_refused_in_one_line(parser, flags, capsys):
    with pytest.raises(SystemExit) as caught:
        parser.parse_args(flags.split())
    assert caught.value.code == 2
    stdout, stderr = capsys.readouterr()
    assert stdout == ""
    assert stderr.count("\n") == 1
    assert flags.split()[-1] in stderr
    assert "--help" in stderr


# Seeds


def test_seeds_of_the_whole_range_are_taken(start_with, capsys):
    for seed in (0, 2**64 - 1):
        device, settings = start_with("--seed", seed)
        assert torch.initial_seed() == seed
        assert device == torch.device("cpu")
        assert "seed" not in settings
        assert capsys.readouterr().err.startswith(f"seed {seed}, device cpu, 1 CPU thread(s), ")


def test_a_seed_is_drawn_anew(start_with):
    start_with()
    first = torch.initial_seed()
    start_with()
    assert first != torch.initial_seed() < 2**32


def test_a_resumed_run_has_the_checkpoint_s_seed(start_with, tmp_path, capsys):
    net = torch.nn.Linear(2, 2)
    file = tmp_path / "file"
    start_with("--seed", 2**63, "--checkpoint", file)  # a file that isn't there yet
    Checkpoint(file, {}, net, torch.optim.SGD(net.parameters(), lr=1)).write(1)

    for flags in ([], ["--seed", 2**63]):
        torch.manual_seed(5)
        capsys.readouterr()
        start_with("--checkpoint", file, *flags)
        assert torch.initial_seed() == 2**63
        assert capsys.readouterr().err.startswith(f"seed {2**63}, ")

    with pytest.raises(RefusedError, match=f"{file} .* training with seed {2**63}, not 7; leave"):
        start_with("--checkpoint", file, "--seed", 7)


@pytest.mark.parametrize("file", ["", "folder/"])
def test_a_checkpoint_that_names_no_file_is_left_to_the_run_to_refuse(start_with, tmp_path, file):
    (tmp_path / "folder").mkdir()
    _, settings = start_with("--checkpoint", file and f"{tmp_path}/{file}")
    assert settings["checkpoint"].endswith(file)


def test_nothing_is_trained_without_a_stdout(start_with, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)  # as Python has it after `>&-`
    with pytest.raises(RefusedError, match="stdout is closed"):
        start_with("--seed", 1)


def test_nothing_is_trained_with_a_full_stderr(start_with, monkeypatch):
    """`2>/dev/full`: the seed can't be told, without which the run can't be repeated."""

    class Full:
        def write(self, text):
            raise OSError("No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    with pytest.raises(OSError, match="No space left"):
        start_with("--seed", 1)


# Devices


@pytest.mark.parametrize(
    ("accelerator", "device"), [(None, "cpu"), (torch.device("cuda", 1), "cuda:1")]
)
def test_auto_is_the_accelerator_that_there_is(parser, monkeypatch, accelerator, device):
    monkeypatch.setattr(
        torch.accelerator, "current_accelerator", lambda check_available: accelerator
    )
    assert parser.parse_args(["--device", "auto"]).device == torch.device(device)
    assert parser.parse_args([]).device == torch.device("cpu")


def test_a_device_of_a_number_is_tried(parser):
    assert parser.parse_args(["--device", "cpu:0"]).device == torch.device("cpu:0")
