"""Time the implementations of one training, in turn, each run in a process of its own.

    python benchmarks/speed.py

takes about five minutes on two cores and prints a Markdown table. A run is a real script, watched
from outside: an epoch lasts from the last progress line of the one before to its own; the first
one, which also has the start of Python and PyTorch in it, isn't counted. Rounds alternate the
implementations, so that a machine that slows down slows them all; the table gives medians. On a
busy machine, the textbook's threads on all cores wait for each other.
"""

import argparse
import itertools
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

PROJECT = Path(__file__).resolve().parent.parent
NUM_STEPS = 6000  # of an epoch
TEXTBOOK = "textbook pipeline"

# Each implementation's script, its number of CPU threads, and of networks at once.
IMPLEMENTATIONS = {
    TEXTBOOK: ("tests/textbook.py", 1, 1),
    f"{TEXTBOOK}, on all cores": ("tests/textbook.py", torch.get_num_threads(), 1),
    "pytorch_mnist.py": ("pytorch_mnist.py", 1, 1),
    "backprop_manual_mnist.py": ("backprop_manual_mnist.py", 1, 1),
    "the study, for each of five networks at once": ("benchmarks/five_networks.py", 1, 5),
}


def time_epochs(command, threads=1):
    """Run a script; return the seconds of each epoch but the first, which has the start in it."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}  # for those that set none
    process = subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True
    )
    epoch_ends = [
        time.perf_counter() for line in process.stdout if re.search(r"Step \[(\d+)/\1\]", line)
    ]
    if process.wait() != 0:
        raise SystemExit(f"{' '.join(command)} failed; its message stands above")
    return [end - begin for begin, end in itertools.pairwise(epoch_ends)]


def measure(rounds, epochs, data_root):
    """Return for each implementation the seconds of its epochs, those of all rounds.

    `data_root` is a data folder into which torchvision may unpack MNIST.
    """
    seconds = {name: [] for name in IMPLEMENTATIONS}
    for seed, (name, how) in itertools.product(range(1, rounds + 1), IMPLEMENTATIONS.items()):
        print(f"round {seed}/{rounds}: {name}", file=sys.stderr)
        script, threads, _ = how
        flags = ["--epochs", str(epochs), "--seed", str(seed), "--data-root", data_root]
        seconds[name] += time_epochs([sys.executable, script, *flags], threads)
    return seconds


def format_table(seconds):
    """Return a Markdown table of the medians, and of their ratios to the textbook."""
    medians = {n: statistics.median(times) / IMPLEMENTATIONS[n][2] for n, times in seconds.items()}
    lines = ["| | times the textbook's speed | s/epoch | µs/step |", "|---|--:|--:|--:|"]
    for name, median in medians.items():
        ratio, step = medians[TEXTBOOK] / median, 1e6 * median / NUM_STEPS
        lines.append(f"| {name} | {ratio:.1f} | {median:.2f} | {step:.0f} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each (default: 3)")
    parser.add_argument("--epochs", type=int, default=3, help="epochs a run (default: 3)")
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.epochs < 2:
        parser.error("it takes at least 1 round of 2 epochs, to have an epoch after start-up")
    with tempfile.TemporaryDirectory() as root:  # torchvision's MNIST unpacks its files
        shutil.copytree(PROJECT / "data" / "MNIST", Path(root, "MNIST"))
        seconds = measure(arguments.rounds, arguments.epochs, root)
    sys.stdout.reconfigure(errors="backslashreplace")  # an old code page may lack the µ
    print(format_table(seconds))
    print(
        f"\nMedians of {arguments.rounds} rounds of {arguments.epochs} epochs, without each one's "
        f"first; {os.cpu_count()} cores, torch {torch.__version__}, "
        f"Python {platform.python_version()}."
    )


if __name__ == "__main__":
    main()
