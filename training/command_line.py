"""The training scripts' command line: flags, device, seed."""

import argparse
import contextlib
import math
import secrets
import sys

import torch

import common
from common import RefusedError
from training import checkpoint
from training.run import MAX_THREADS


class OneLineParser(argparse.ArgumentParser):
    """An ArgumentParser that refuses flags in one line, without the usage, and lists defaults."""

    def __init__(self, **settings):
        formatter = argparse.ArgumentDefaultsHelpFormatter
        super().__init__(allow_abbrev=False, formatter_class=formatter, **settings)

    def error(self, message):
        self.exit(2, f"{self.prog}: error: {message} (--help lists the flags)\n")


def create_parser(description, *, epochs, lr, threads=1, parents=()):
    """Return an ArgumentParser with the flags of every training script and these defaults.

    Their names are those of `training.run.Settings`, besides `--seed` and `--device`.
    """
    parser = OneLineParser(description=description, parents=parents)
    add_epochs_flag(parser, epochs)
    add = parser.add_argument
    add("--lr", type=positive_float, default=lr, metavar="RATE", help="learning rate")
    size = common.BATCH_SIZE
    add("--batch-size", type=positive_int, default=size, metavar="N", help="images a step")
    add_device_flag(parser)
    add("--threads", type=thread_count, default=threads, metavar="N", help="CPU threads")
    add_data_root_flag(parser)
    text = "for initialisation and shuffling; without it, the checkpoint's, or drawn"
    add("--seed", type=valid_seed, metavar="N", help=text)
    text = "subtract the mean from the inputs, and divide by their deviation"
    add("--normalize", action="store_true", help=text)
    add("--test-each-epoch", action="store_true", help="test after each epoch, too")
    add("--quiet", action="store_true", help="show a bar instead of progress lines")
    for flag, text in {
        "--save-model": "write the trained state_dict here",
        "--checkpoint": "write the training's state here after each epoch; resume from it",
        "--log": "write settings, losses, test accuracies and seconds here, as CSV",
    }.items():
        add(flag, metavar="FILE", help=text)
    return parser


def add_epochs_flag(parser, default):
    """Add `--epochs`, for a program that trains."""
    text = "passes over the training data"
    parser.add_argument("--epochs", type=positive_int, default=default, metavar="N", help=text)


def add_device_flag(parser):
    """Add `--device`, for a program that trains."""
    text = "cpu, cuda, mps, another of PyTorch's names, or auto: an accelerator if there is one"
    parser.add_argument("--device", type=usable_device, default="cpu", metavar="NAME", help=text)


def add_data_root_flag(parser):
    """Add `--data-root`, for a script that reads MNIST."""
    text = "the folder above MNIST/raw"
    parser.add_argument("--data-root", default=common.DEFAULT_ROOT, metavar="FOLDER", help=text)


def add_hidden_size_flag(parser, default):
    """Add `--hidden-size`, for the dense network."""
    text = "hidden neurons"
    parser.add_argument("--hidden-size", type=positive_int, default=default, metavar="N", help=text)


def start(parser):
    """Parse the command line and seed PyTorch; return the device, and the other settings.

    The settings are a dict of keyword arguments, by the flags' names. What it takes to
    repeat the run goes to stderr.
    """
    if sys.stdout is None:
        raise RefusedError("stdout is closed, so there is nowhere to print the results")
    settings = vars(parser.parse_args())
    seed, device = settings.pop("seed"), settings.pop("device")
    file = settings["checkpoint"]
    saved_seed = None if file is None else checkpoint.read_seed(file)
    if seed is None:
        seed = secrets.randbelow(2**32) if saved_seed is None else saved_seed
    if saved_seed not in (None, seed):
        raise RefusedError(
            f"{file} is a checkpoint of the training with seed {saved_seed}, not {seed}; "
            "leave --seed out, or give a new file"
        )
    torch.manual_seed(seed)
    print(
        f"seed {seed}, device {device}, {settings['threads']} CPU thread(s), "
        f"torch {torch.__version__}",
        file=sys.stderr,
    )
    return device, settings


def _number(convert, is_valid, wanted):
    """Return a function that makes a flag's text a number, as argparse's `type`."""

    def parse(text):
        with contextlib.suppress(ValueError):
            if is_valid(number := convert(text)):
                return number
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")

    return parse


positive_int = _number(int, lambda number: 1 <= number < 2**31, "a whole number of 1 or more")
positive_float = _number(float, lambda number: 0 < number < math.inf, "a finite number above 0")
non_negative_float = _number(
    float, lambda number: 0 <= number < math.inf, "a finite number, 0 or more"
)
thread_count = _number(
    int, lambda number: 1 <= number <= MAX_THREADS, f"a whole number, 1 to {MAX_THREADS}"
)
valid_seed = _number(int, lambda seed: 0 <= seed < 2**64, "a whole number, 0 to 2**64 - 1")


def usable_device(text):
    """Return the torch.device of this name, after a try whether it computes.

    "auto" is the accelerator that PyTorch finds, or the CPU.
    """
    try:
        device = torch.device("cpu" if text == "auto" else text)
        if text == "auto" and torch.accelerator.is_available():
            device = torch.accelerator.current_accelerator()
        torch.zeros(1, device=device).item()
        return device
    except (RuntimeError, AssertionError, ImportError) as error:
        reason = str(error).strip().split("\n")[0].split(". ")[0]
        raise argparse.ArgumentTypeError(
            f"PyTorch can't use {text!r} here ({reason}); try cpu, cuda, cuda:1, mps or auto"
        ) from None
