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


def test_help_names_each_flag_and_its_default(parser):
    text = " ".join(parser.format_help().split())
    defaults = {
        "--epochs N": "30",
        "--lr RATE": "3.0",
        "--batch-size N": "10",
        "--threads N": "1",
        "--seed N": "None",
        "--device NAME": "cpu",
        "--data-root FOLDER": "./data",
        "--save-model FILE": "None",
        "--checkpoint FILE": "None",
        "--log FILE": "None",
        "--test-each-epoch": "False",
        "--normalize": "False",
        "--quiet": "False",
    }
    for flag, default in defaults.items():
        pattern = rf"{flag} [^(]*(\([^)]*\) )?[^(]*\(default: {re.escape(default)}\)"
        assert re.search(pattern, text), flag
    assert {flag.split()[0] for flag in defaults} | {"--help"} == set(re.findall("--[a-z-]+", text))
    arguments = parser.parse_args([])
    assert (arguments.seed, arguments.normalize, arguments.quiet) == (None, False, False)


@pytest.mark.parametrize(
    "flags",
    [
        *("--epochs 0", "--epochs -1", "--epochs 1.5", "--epochs", "--epoch 3", "extra"),
        *("--lr 0", "--lr -3", "--lr nan", "--lr inf", "--lr fast"),
        *("--batch-size 0", "--threads 0", "--threads 100000"),
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


def test_seeds_of_the_whole_range_are_taken_and_drawn_anew(start_with, capsys):
    for seed in (0, 2**64 - 1):
        device, settings = start_with("--seed", seed)
        assert torch.initial_seed() == seed
        assert device == torch.device("cpu")
        assert "seed" not in settings
        assert capsys.readouterr().err.startswith(f"seed {seed}, device cpu, 1 CPU thread(s), ")
    drawn = {start_with() and torch.initial_seed() for _ in range(2)}
    assert len(drawn) == 2
    assert max(drawn) < 2**32


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

    with pytest.raises(RefusedError, match=f"{re.escape(str(file))} .* seed {2**63}, not 7; leave"):
        start_with("--checkpoint", file, "--seed", 7)


def test_nothing_is_trained_without_a_stdout(start_with, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)  # as Python has it after `>&-`
    with pytest.raises(RefusedError, match="stdout is closed"):
        start_with("--seed", 1)


# Devices


@pytest.mark.parametrize(("accelerator", "device"), [(None, "cpu"), ("cpu:0", "cpu:0")])
def test_auto_is_the_accelerator_that_there_is(parser, monkeypatch, accelerator, device):
    """Pretended by "cpu:0", the one that computes everywhere; "meta" computes nowhere."""
    found = accelerator
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: found is not None)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device(found))
    assert parser.parse_args(["--device", "auto"]).device == torch.device(device)
    found = "meta"
    assert parser.parse_args([]).device == torch.device("cpu")
    with pytest.raises(SystemExit):
        parser.parse_args(["--device", "auto"])
