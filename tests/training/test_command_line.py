"""Flags, seeds, devices; and how a script ends when something goes wrong."""

import io
import re
import shlex
import signal
import subprocess
import sys

import pytest
import torch
from conftest import PROJECT

from training import command_line
from training.checkpoint import Checkpoint

SCRIPT = PROJECT / "pytorch_mnist.py"


@pytest.fixture
def parser():
    return command_line.create_parser("A test.", epochs=30, lr=3.0)


@pytest.fixture
def start_with(parser, monkeypatch):
    """Return a function that calls `command_line.start` with flags, on the CPU."""

    def start_with(*flags):
        monkeypatch.setattr(sys, "argv", ["script", "--device", "cpu", *map(str, flags)])
        return command_line.start(parser)

    return start_with


# Flags


def test_defaults_are_the_article_s(parser):
    arguments = parser.parse_args(["--device", "cpu"])
    assert vars(arguments) == {
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
    command_line.add_compile_flag(parser)
    text = " ".join(parser.format_help().split())
    for flag, default in {
        "--epochs N": "30",
        "--lr RATE": "3.0",
        "--batch-size N": "10",
        "--threads N": "1",
        "--seed N": "drawn, or the checkpoint's",
        "--device DEVICE": "auto",
        "--data-root FOLDER": "./data",
        "--save-model FILE": "nowhere",
        "--checkpoint FILE": "nowhere",
        "--test-each-epoch": "no",
        "--compile": "no",
    }.items():
        pattern = rf"{flag} [^(]*(\([^)]*\) )?[^(]*\(default: {re.escape(default)}\)"
        assert re.search(pattern, text), flag


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

    with pytest.raises(ValueError, match=f"{file} .* training with seed {2**63}, not 7; leave"):
        start_with("--checkpoint", file, "--seed", 7)


@pytest.mark.parametrize("file", ["", "folder/"])
def test_a_checkpoint_that_names_no_file_is_left_to_the_run_to_refuse(start_with, tmp_path, file):
    (tmp_path / "folder").mkdir()
    _, settings = start_with("--checkpoint", file and f"{tmp_path}/{file}")
    assert settings["checkpoint"].endswith(file)


# Devices


@pytest.fixture
def accelerator(monkeypatch):
    """Return a function that sets the machine's accelerator."""

    def accelerator(name):
        monkeypatch.setattr(torch.accelerator, "is_available", lambda: name is not None)
        monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device(name))

    return accelerator


def test_auto_is_the_cpu_without_an_accelerator(parser, accelerator, capsys):
    accelerator(None)
    assert parser.parse_args([]).device == torch.device("cpu")
    assert capsys.readouterr().err == ""


def test_auto_is_an_accelerator_that_computes(parser, accelerator):
    accelerator("cpu:0")  # the one that computes everywhere
    assert parser.parse_args([]).device == torch.device("cpu:0")


def test_auto_falls_back_to_the_cpu_with_a_line(parser, accelerator, capsys):
    accelerator("meta")  # the one that computes nowhere
    assert parser.parse_args([]).device == torch.device("cpu")
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"meta can't be used \(.+\); using the CPU", line)


# How a script ends


@pytest.mark.parametrize("error", [OSError, RuntimeError, ValueError])
def test_errors_become_one_line(error, capsys, monkeypatch):
    def main():
        raise error("what was wrong:\n  the value\n")

    monkeypatch.setattr(sys, "argv", ["folder/script.py"])
    with pytest.raises(SystemExit) as caught:
        command_line.run(main)
    assert caught.value.code == 1
    assert capsys.readouterr().err == "script.py: error: what was wrong: the value\n"


def test_an_error_of_the_program_s_own_keeps_its_traceback():
    def main():
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        command_line.run(main)


def test_nothing_is_trained_without_a_stdout(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", None)  # as Python has it after `>&-`
    with pytest.raises(SystemExit) as caught:
        command_line.run(lambda: pytest.fail("it has begun"))
    assert caught.value.code == 1
    assert "error: stdout is closed" in capsys.readouterr().err


def test_nothing_is_trained_with_a_full_stderr(start_with, monkeypatch):
    """`2>/dev/full`: the seed can't be told, without which the run can't be repeated."""

    def main():
        start_with("--seed", "1")
        pytest.fail("it has begun")

    with io.open("/dev/full", "w", buffering=1) as full:  # noqa: UP020
        monkeypatch.setattr(sys, "stderr", full)
        with pytest.raises(SystemExit) as caught:
            command_line.run(main)
        assert caught.value.code == 1
        monkeypatch.undo()
        with pytest.raises(OSError):
            full.close()


def run_shell(command):
    """Run a command of bash, in which `script` trains: its status, stdout and stderr."""
    script = shlex.join([sys.executable, str(SCRIPT), "--seed", "1", "--device", "cpu"])
    command = f"set -o pipefail; {command.replace('script', script)}"
    return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=100)


def test_a_full_disk_under_stdout_ends_the_script_in_one_line(monkeypatch, capsys):
    with open("/dev/full", "w") as stdout:
        monkeypatch.setattr(sys, "argv", ["pytorch_mnist.py"])
        monkeypatch.setattr(sys, "stdout", stdout)
        with pytest.raises(SystemExit) as caught:
            command_line.run(lambda: print("Epoch", flush=True))
    assert caught.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "pytorch_mnist.py: error: [Errno 28] No space left on device"


def test_a_reader_that_leaves_ends_the_script_quietly():
    result = run_shell("script | head -1")
    assert result.returncode == 141
    assert result.stdout.startswith("Epoch [1/30], Step [100/6000], Loss: ")
    assert len(result.stderr.splitlines()) == 1  # the seed


# Prints whether anything of ours is installed in the process, and then trains.
IMPORTING_SCRIPT = """
import signal, sys
import pytorch_mnist
from training import command_line
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
print(sys.excepthook is sys.__excepthook__, hasattr(sys, "tracebacklimit"), flush=True)
command_line.run(pytorch_mnist.main)
"""


def test_ctrl_c_ends_the_script_by_the_signal_in_one_line(start):
    """So that a shell's loop over scripts ends, too."""
    process = start(
        *("-c", IMPORTING_SCRIPT, "--seed", "1", "--device", "cpu"),
        # A job in a shell's background ignores SIGINT, and so would this process.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert [process.stdout.readline() for _ in range(2)] == ["True\n", "True False\n"]
    assert process.stdout.readline().startswith("Epoch")
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    assert stderr.splitlines()[1:] == ["-c: interrupted"]


def test_ctrl_c_at_a_prompt_only_interrupts(monkeypatch, capsys):
    def main():
        signal.raise_signal(signal.SIGINT)

    handler = signal.default_int_handler
    handler_before = signal.signal(signal.SIGINT, handler)
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    try:
        with pytest.raises(KeyboardInterrupt):
            command_line.run(main)
        assert signal.getsignal(signal.SIGINT) is handler
    finally:
        signal.signal(signal.SIGINT, handler_before)
    assert capsys.readouterr().err == ""
