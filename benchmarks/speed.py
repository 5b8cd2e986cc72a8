"""Time the implementations of one training, in turn, each run in a process of its own.

    python benchmarks/speed.py

takes about five minutes on two cores and prints a Markdown table. A run is a real script, watched
from outside: an epoch lasts from the last progress line of the one before to its own; the first
one, which also has the start of Python and PyTorch in it, isn't counted. Rounds alternate the
implementations, so that a machine that slows down slows them all; the table gives medians.
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
TEXTBOOK, FLOOR = "textbook pipeline", "matrix products alone"
TEXTBOOK_SCRIPT = "tests/textbook.py"
ALL_THREADS = torch.get_num_threads()  # PyTorch's own default

# Each implementation's script, its number of CPU threads, and of networks at once.
IMPLEMENTATIONS = {
    TEXTBOOK: (TEXTBOOK_SCRIPT, ALL_THREADS, 1),
    f"{TEXTBOOK}, one thread": (TEXTBOOK_SCRIPT, 1, 1),
    "pytorch_mnist.py": ("pytorch_mnist.py", 1, 1),
    "backprop_manual_mnist.py": ("backprop_manual_mnist.py", 1, 1),
    "the study, for each of five networks at once": ("benchmarks/five_networks.py", 1, 5),
    FLOOR: ("benchmarks/matrix_products.py", 1, 1),
}


def time_epochs(command, environment):
    """Run a script; return the seconds of each epoch but the first, which has the start in it."""
    process = subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True
    )
    epoch_ends = [
        time.perf_counter() for line in process.stdout if re.search(r"Step \[(\d+)/\1\]", line)
    ]
    if process.wait() != 0:
        raise SystemExit(f"{' '.join(command)} failed; its message stands above")
    return [end - begin for begin, end in itertools.pairwise(epoch_ends)]


def measure(names, rounds, epochs, batch_size, textbook_root):
    """Return for each name the seconds of its epochs, those of all rounds.

    `textbook_root` is a data folder into which torchvision may unpack MNIST.
    """
    seconds = {name: [] for name in names}
    for round_number, name in itertools.product(range(1, rounds + 1), names):
        print(f"round {round_number}/{rounds}: {name}", file=sys.stderr)
        script, threads, _ = IMPLEMENTATIONS[name]
        flags = ["--epochs", str(epochs), "--batch-size", str(batch_size)]
        if name != FLOOR:
            flags += ["--seed", str(round_number)]
        if script == TEXTBOOK_SCRIPT:
            flags += ["--data-root", str(textbook_root)]
        # PyTorch's default number of threads, for the pipeline that sets none
        environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
        seconds[name] += time_epochs([sys.executable, script, *flags], environment)
    return seconds


def format_table(seconds, num_steps):
    """Return a Markdown table of the medians, and of their ratios to the textbook and the floor."""
    medians = {n: statistics.median(times) / IMPLEMENTATIONS[n][2] for n, times in seconds.items()}
    lines = [
        "| | times the textbook's speed | times the products alone | s/epoch | µs/step |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, median in medians.items():
        lines.append(
            f"| {name} | {medians[TEXTBOOK] / median:.1f} | {median / medians[FLOOR]:.1f} | "
            f"{median:.2f} | {1e6 * median / num_steps:.0f} |"
        )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of each")
    parser.add_argument("--epochs", type=int, default=3, help="epochs a run, at least 2")
    parser.add_argument("--batch-size", type=int, default=10, help="images a step")
    everything = list(IMPLEMENTATIONS)
    parser.add_argument("--only", nargs="+", choices=everything, default=everything)
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.epochs < 2:
        parser.error("it takes at least 1 round of 2 epochs, to have an epoch after start-up")
    names = list(dict.fromkeys([TEXTBOOK, *arguments.only, FLOOR]))  # the ratios need these two

    with tempfile.TemporaryDirectory() as root:  # torchvision's MNIST unpacks its files
        shutil.copytree(PROJECT / "data" / "MNIST", Path(root, "MNIST"))
        seconds = measure(names, arguments.rounds, arguments.epochs, arguments.batch_size, root)
    sys.stdout.reconfigure(errors="backslashreplace")  # an old code page may lack the µ
    print(format_table(seconds, num_steps=60_000 / arguments.batch_size))
    print(
        f"\nMedians of {arguments.rounds} rounds of {arguments.epochs} epochs, without each one's "
        f"first; {os.cpu_count()} cores, torch {torch.__version__}, "
        f"Python {platform.python_version()}."
    )


if __name__ == "__main__":
    main()
