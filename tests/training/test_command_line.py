import re
import sys

import pytest
import torch
from conftest import PROJECT

from training import command_line

SCRIPT = PROJECT / "pytorch_mnist.py"


@pytest.fixture
def parser():
    return command_line.create_parser("A test.", epochs=30, lr=3.0)


def test_defaults_are_the_article_s(parser):
    arguments = parser.parse_args([])
    assert (arguments.epochs, arguments.lr, arguments.batch_size) == (30, 3.0, 10)
    assert (arguments.data_root, arguments.save_model) == ("./data", None)
    assert 0 <= arguments.seed < 2**32
    assert arguments.device.type == ("cpu" if not torch.accelerator.is_available() else "cuda")


def test_a_seed_is_drawn_anew(parser):
    assert parser.parse_args([]).seed != parser.parse_args([]).seed


def test_help_names_each_flag_and_its_default(parser):
    text = " ".join(parser.format_help().split())
    for flag, default in {
        "--epochs": "30",
        "--lr": "3.0",
        "--batch-size": "10",
        "--threads": "1",
        "--seed": "drawn",
        "--device": "auto",
        "--data-root": "./data",
        "--save-model": "nowhere",
        "--checkpoint": "nowhere",
    }.items():
        assert re.search(
            rf"{flag} \S+ [^(]*(\([^)]*\) )?[^(]*\(default: {re.escape(default)}\)", text
        )


@pytest.mark.parametrize(
    "flags",
    [
        "--epochs 0",
        "--epochs -1",
        "--epochs 1.5",
        "--lr 0",
        "--lr -3",
        "--lr nan",
        "--lr inf",
        "--lr fast",
        "--batch-size 0",
        "--threads 0",
        "--threads 2147483648",
        "--seed -1",
        "--seed 18446744073709551616",
        "--device gpu",
        "--device meta",
        "--device cuda:99",
        "--epoch 3",
        "--epochs",
        "extra",
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


def test_seeds_of_the_whole_range_are_taken(parser, monkeypatch):
    for seed in (0, 2**64 - 1):
        monkeypatch.setattr(sys, "argv", ["script", "--seed", str(seed), "--device", "cpu"])
        device, settings = command_line.start(parser)
        assert torch.initial_seed() == seed
        assert device == torch.device("cpu")
        assert "seed" not in settings


@pytest.mark.parametrize("error", [OSError, RuntimeError, ValueError])
def test_errors_become_one_line(error):
    def main():
        raise error("what was wrong:\n  the value\n")

    with pytest.raises(SystemExit, match=r": error: what was wrong: the value$"):
        command_line.run(main)


def test_a_script_s_error_is_one_line(run):
    flags = "--seed 1 --device cpu --save-model no/folder/model.pt"
    result = run(SCRIPT, *flags.split())
    assert (result.returncode, result.stdout) == (1, "")
    _seed_line, line = result.stderr.splitlines()
    assert "there is no folder" in line


def test_a_reader_that_leaves_ends_the_script_quietly(start):
    process = start(SCRIPT, *["--seed", "1", "--device", "cpu"])
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=20) == 141
    assert len(process.stderr.read().splitlines()) == 1  # the seed line
