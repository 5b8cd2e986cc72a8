"""The training scripts' command line: flags, device, seed."""

import argparse
import contextlib
import glob
import itertools
import math
import secrets
import sys

import torch

import common
from training.run import Run, read_checkpoint


class Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Lists the defaults that say something."""

    def _get_help_string(self, action):
        is_plain = action.default is None or action.default is False
        return action.help if is_plain else super()._get_help_string(action)


class OneLineParser(argparse.ArgumentParser):
    """An ArgumentParser that refuses flags in one line, without the usage, and lists defaults."""

    def __init__(self, **settings):
        super().__init__(allow_abbrev=False, formatter_class=Formatter, **settings)

    def error(self, message):
        message = " ".join(message.split())
        self.exit(2, f"{self.prog}: error: {message} (--help lists the flags)\n")


def number(convert, is_valid, wanted):
    """Return a function that makes a flag's text a number, as argparse's `type`."""

    def parse(text):
        with contextlib.suppress(ValueError):
            if is_valid(value := convert(text)):
                return value
        raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")

    return parse


positive_int = number(int, lambda n: 1 <= n < 2**31, "a whole number of 1 or more")
positive_float = number(float, lambda x: 0 < x < math.inf, "a finite number above 0")
non_negative_float = number(float, lambda x: 0 <= x < math.inf, "a finite number, 0 or more")
thread_count = number(int, lambda n: 1 <= n <= 1024, "a whole number, 1 to 1024")
valid_seed = number(int, lambda n: 0 <= n < 2**64, "a whole number, 0 to 2**64 - 1")


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
        raise argparse.ArgumentTypeError(f"PyTorch can't use {text!r} here ({error})") from None


FLAGS = {  # by setting: what makes its text a value, what stands for that in the help, the help
    "epochs": (positive_int, "N", "passes over the training data"),
    "lr": (positive_float, "RATE", "learning rate"),
    "batch_size": (positive_int, "N", "images a step"),
    "hidden_size": (positive_int, "N", "hidden neurons"),
    "device": (usable_device, "NAME", "cpu, cuda, mps, or auto: an accelerator if there is one"),
    "threads": (thread_count, "N", "CPU threads"),
    "data_root": (str, "FOLDER", "the folder above MNIST/raw"),
    "seed": (valid_seed, "N", "for weights and shuffling; by default the checkpoint's, or drawn"),
    "normalize": (bool, None, "subtract the mean from the inputs, and divide by their deviation"),
    "test_each_epoch": (bool, None, "test after each epoch, too"),
    "quiet": (bool, None, "show a bar instead of the printed lines"),
    "save_model": (str, "FILE", "write the trained state_dict here"),
    "checkpoint": (str, "FILE", "write the state here after each epoch; resume from it"),
    "log": (str, "FILE", "write settings, losses, test accuracies and seconds here, as CSV"),
}


def add_flags(parser, **defaults):
    """Add some of the FLAGS with these defaults, such as `epochs=30` for `--epochs`."""
    for name, default in defaults.items():
        kind, metavar, text = FLAGS[name]
        value = {"action": "store_true"} if kind is bool else {"type": kind, "metavar": metavar}
        parser.add_argument(f"--{name.replace('_', '-')}", default=default, help=text, **value)


def create_parser(description, *, epochs, lr, threads=1, parents=(), **more):
    """Return an ArgumentParser with the flags of every training script, `more`, and defaults."""
    parser = OneLineParser(description=description, parents=parents)
    add_flags(parser, epochs=epochs, lr=lr, batch_size=common.BATCH_SIZE, **more)
    add_flags(parser, device="cpu", threads=threads, data_root=common.DEFAULT_ROOT, seed=None)
    add_flags(parser, normalize=False, test_each_epoch=False, quiet=False)
    add_flags(parser, save_model=None, checkpoint=None, log=None)
    return parser


def expand(names):
    """Return files' names; of `*.csv`, which Windows' shells don't expand, all that match."""
    found = [("*" in name and sorted(glob.glob(name))) or [name] for name in names]  # noqa: PTH207
    return [*itertools.chain(*found)]


def start(parser, train_epoch=common.train_epoch):
    """Parse the command line and seed PyTorch; return the flags, and a `Run` of those it has.

    What it takes to repeat the run goes to stderr.
    """
    flags = parser.parse_args()
    seed, file = flags.seed, flags.checkpoint
    if seed is None and file is not None and (saved := read_checkpoint(file)):
        seed = saved["settings"]["seed"]  # so that the same command goes on
    seed = secrets.randbelow(2**32) if seed is None else seed
    torch.manual_seed(seed)
    print(
        f"seed {seed}, device {flags.device}, {flags.threads} CPU thread(s), "
        f"torch {torch.__version__}",
        file=sys.stderr,
    )
    transforms = common.transformations, common.normalized_transformations
    data = {"root": flags.data_root, "transform": transforms[flags.normalize]}
    data |= {"batch_size": flags.batch_size, "device": flags.device}
    return flags, Run(
        data=data, seed=seed, threads=flags.threads, train_epoch=train_epoch,
        save_model=flags.save_model, checkpoint=flags.checkpoint, log=flags.log,
        test_each_epoch=flags.test_each_epoch, quiet=flags.quiet,
    )  # fmt: skip
