"""Time the implementations of one training, in turn, each run in a process of its own.

    python benchmarks/speed.py

takes about five minutes on two cores, prints a Markdown table and writes all measurements
to `benchmarks/speed.json`. A run is a real script, watched from outside: an epoch lasts
from the last progress line of the one before to its own, and start-up is what came before
the first epoch. Rounds alternate the implementations, so that a machine that slows down slows
them all; the table gives medians.
"""

import argparse
import itertools
import json
import os
import platform
import re
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
ALL_THREADS = torch.get_num_threads()  # PyTorch's own default

# Each implementation's script and flags, its number of CPU threads, and of networks at once.
IMPLEMENTATIONS = {
    TEXTBOOK: (["tests/textbook.py"], ALL_THREADS, 1),
    f"{TEXTBOOK}, one thread": (["tests/textbook.py"], 1, 1),
    "pytorch_mnist.py": (["pytorch_mnist.py"], 1, 1),
    "backprop_manual_mnist.py": (["backprop_manual_mnist.py"], 1, 1),
    "reproduce.py, for each of five networks at once": (["benchmarks/five_networks.py"], 1, 5),
    FLOOR: (["benchmarks/matrix_products.py"], 1, 1),
}


def time_run(command, environment):
    """Run a script; return its epochs' seconds, its start-up's, and its peak memory in MB."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True
    )
    epoch_ends = []
    for line in process.stdout:
        if re.search(r"Step \[(\d+)/\1\]", line):
            epoch_ends.append(time.perf_counter())
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(command)} failed; its message stands above")

    epochs = [end - begin for begin, end in itertools.pairwise(epoch_ends)]
    start_up = epoch_ends[0] - start - statistics.median(epochs)
    # Linux counts in KiB, macOS in bytes.
    megabytes = usage.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e6 / 1024)
    return {"epochs_s": epochs, "start_up_s": start_up, "peak_memory_mb": megabytes}


def measure(names, rounds, epochs, batch_size):
    """Return for each name the measurements of its runs, one for each round."""
    runs = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as cache:  # so that the first --compile starts cold
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": cache}
        for round_number in range(1, rounds + 1):
            for name in names:
                flags = ["--epochs", str(epochs), "--batch-size", str(batch_size)]
                if name != FLOOR:
                    flags += ["--seed", str(round_number)]
                print(f"round {round_number}/{rounds}: {name}", file=sys.stderr)
                (script, *own_flags), threads, _ = IMPLEMENTATIONS[name]
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
            "start_up_s": statistics.median(run["start_up_s"] for run in all_runs),
            "first_start_up_s": all_runs[0]["start_up_s"],
        }
        for name, all_runs in runs.items()
    }


def format_table(summary):
    lines = [
        "| implementation | threads | s/epoch | µs/step | speed-up | products | MB | start-up s |",
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
            f"{row['start_up_s']:.1f}",
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
    parser.add_argument("--json", default=PROJECT / "benchmarks" / "speed.json", help="the result")
    arguments = parser.parse_args()
    if arguments.rounds < 1 or arguments.epochs < 2:
        parser.error("it takes at least 1 round of 2 epochs, to have an epoch after start-up")
    names = list(dict.fromkeys([TEXTBOOK, *arguments.only, FLOOR]))  # the ratios need these two

    runs = measure(names, arguments.rounds, arguments.epochs, arguments.batch_size)
    summary = summarise(runs, num_steps=60_000 / arguments.batch_size)
    machine = describe_machine()
    settings = {name: vars(arguments)[name] for name in ("rounds", "epochs", "batch_size")}
    report = {"machine": machine, "settings": settings, "summary": summary, "runs": runs}
    Path(arguments.json).write_text(json.dumps(report, indent=1) + "\n")

    print(format_table(summary))
    print(
        "\nSpeed-up: over the textbook pipeline. Products: in multiples of the products alone.\n"
        f"Medians of {arguments.rounds} runs of {arguments.epochs} epochs, the first of which "
        f"counts as start-up; {machine['cpu']}, "
        f"{machine['cores']} cores, torch {machine['torch']}, Python {machine['python']}."
    )


if __name__ == "__main__":
    main()
