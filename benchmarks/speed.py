"""Time the implementations of one training, in turn, each run in a process of its own.

    python benchmarks/speed.py

takes about five minutes on two cores and prints a Markdown table; `--json FILE` keeps all
measurements. A run is a real script, watched from outside: an epoch lasts from the last progress
line of the one before to its own, and the first one also has the start of Python and PyTorch
in it, so it stands apart. Rounds alternate the implementations, so that a machine that slows
down slows them all; the table gives medians.
"""

import argparse
import itertools
import json
import math
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
import torchvision

PROJECT = Path(__file__).resolve().parent.parent
TEXTBOOK, FLOOR = "textbook pipeline", "matrix products alone"
TEXTBOOK_SCRIPT = "tests/textbook.py"
ALL_THREADS = torch.get_num_threads()  # PyTorch's own default

# Each implementation's script and flags, its number of CPU threads, and of networks at once.
IMPLEMENTATIONS = {
    TEXTBOOK: ([TEXTBOOK_SCRIPT], ALL_THREADS, 1),
    f"{TEXTBOOK}, one thread": ([TEXTBOOK_SCRIPT], 1, 1),
    "pytorch_mnist.py": (["pytorch_mnist.py"], 1, 1),
    "backprop_manual_mnist.py": (["backprop_manual_mnist.py"], 1, 1),
    "reproduce.py, for each of five networks at once": (["benchmarks/five_networks.py"], 1, 5),
    FLOOR: (["benchmarks/matrix_products.py"], 1, 1),
}


def time_run(command, environment):
    """Run a script; return its first epoch's seconds, the others', and its peak memory in MB.

    The first has the start in it. The memory is NaN on Windows.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True
    )
    epoch_ends = []
    for line in process.stdout:
        if re.search(r"Step \[(\d+)/\1\]", line):
            epoch_ends.append(time.perf_counter())
    peak_memory = math.nan
    if hasattr(os, "wait4"):
        _, process.returncode, usage = os.wait4(process.pid, 0)
        # Linux counts in KiB, macOS in bytes.
        peak_memory = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)
    if process.wait() != 0:
        raise SystemExit(f"{' '.join(command)} failed; its message stands above")

    epochs = [end - begin for begin, end in itertools.pairwise(epoch_ends)]
    first_epoch = epoch_ends[0] - start
    return {"first_epoch_s": first_epoch, "epochs_s": epochs, "peak_memory_mb": peak_memory}


def measure(names, rounds, epochs, batch_size, textbook_root):
    """Return for each name the measurements of its runs, one for each round.

    `textbook_root` is a data folder into which torchvision may unpack MNIST.
    """
    runs = {name: [] for name in names}
    environment = dict(os.environ)
    for round_number in range(1, rounds + 1):
        for name in names:
            flags = ["--epochs", str(epochs), "--batch-size", str(batch_size)]
            if name != FLOOR:
                flags += ["--seed", str(round_number)]
            print(f"round {round_number}/{rounds}: {name}", file=sys.stderr)
            (script, *own_flags), threads, _ = IMPLEMENTATIONS[name]
            if script == TEXTBOOK_SCRIPT:
                flags += ["--data-root", str(textbook_root)]
            command = [sys.executable, script, *own_flags, *flags]
            # PyTorch's default number of threads, for the pipeline that sets none
            environment["OMP_NUM_THREADS"] = str(threads)
            runs[name].append(time_run(command, environment))
    return runs


def summarise(runs, num_steps):
    """Return for each name its medians, and its ratios to the textbook pipeline and the floor."""
    seconds = {
        name: statistics.median(s for run in all_runs for s in run["epochs_s"])
        / IMPLEMENTATIONS[name][2]
        for name, all_runs in runs.items()
    }
    return {
        name: {
            "threads": IMPLEMENTATIONS[name][1],
            "epoch_s": seconds[name],
            "step_us": seconds[name] / num_steps * 1e6,
            "times_faster_than_textbook": seconds[TEXTBOOK] / seconds[name],
            "times_slower_than_floor": seconds[name] / seconds[FLOOR],
            "peak_memory_mb": statistics.median(run["peak_memory_mb"] for run in all_runs),
            "first_epoch_s": statistics.median(run["first_epoch_s"] for run in all_runs),
        }
        for name, all_runs in runs.items()
    }


def format_table(summary):
    lines = [
        "| implementation | threads | s/epoch | µs/step | speed-up | products | MB | first epoch |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, row in summary.items():
        cells = (
            name,
            str(row["threads"]),
            f"{row['epoch_s']:.2f}",
            f"{row['step_us']:.0f}",
            f"{row['times_faster_than_textbook']:.1f}",
            f"{row['times_slower_than_floor']:.1f}",
            f"{row['peak_memory_mb']:.0f}",
            f"{row['first_epoch_s']:.1f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def describe_machine():
    cpu = platform.processor() or platform.machine()
    cpu_info = Path("/proc/cpuinfo")
    if cpu_info.exists():
        cpu = re.search(r"model name\s*: (.*)", cpu_info.read_text() + "model name : " + cpu)[1]
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
    }


def main():
    parser = argparse.ArgumentParser(
        description="Time the implementations of one training, in turn.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of each")
    parser.add_argument("--epochs", type=int, default=3, help="epochs a run, at least 2")
    parser.add_argument("--batch-size", type=int, default=10, help="images a step")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=IMPLEMENTATIONS,
        default=list(IMPLEMENTATIONS),
        help="what to time",
    )
    parser.add_argument("--json", metavar="FILE", help="write all measurements here")
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.epochs < 2:
        parser.error("it takes at least 1 round of 2 epochs, to have an epoch after start-up")
    names = list(dict.fromkeys([TEXTBOOK, *arguments.only, FLOOR]))  # the ratios need these two

    with tempfile.TemporaryDirectory() as root:  # torchvision's MNIST unpacks its files
        shutil.copytree(PROJECT / "data" / "MNIST", Path(root, "MNIST"))
        runs = measure(names, arguments.rounds, arguments.epochs, arguments.batch_size, root)
    summary = summarise(runs, num_steps=60_000 / arguments.batch_size)
    machine = describe_machine()
    settings = {name: vars(arguments)[name] for name in ("rounds", "epochs", "batch_size")}
    report = {"machine": machine, "settings": settings, "summary": summary, "runs": runs}
    if arguments.json is not None:
        with open(arguments.json, "x") as stream:
            json.dump(report, stream, indent=1)

    sys.stdout.reconfigure(errors="backslashreplace")  # an old code page may lack the µ
    print(format_table(summary))
    print(
        "\nSpeed-up: over the textbook pipeline. Products: in multiples of the products alone.\n"
        f"Medians of {arguments.rounds} runs of {arguments.epochs} epochs, the first of which "
        f"stands apart, with the start of the process; {machine['cpu']}, "
        f"{machine['cores']} cores, torch {machine['torch']}, Python {machine['python']}."
    )


if __name__ == "__main__":
    main()
