"""Does the article's figure hold, and why does the article beat the book?

Trains the variants of `study/variants.py`, each from many seeds, and reports how their accuracies
are distributed, and what the book's initialisation, cost and data do to them:

    python reproduce.py --seeds 50
    torchrun --standalone --nproc-per-node 2 reproduce.py --seeds 50

The second command shares the work out between two processes; for several machines, put
torchrun's --nnodes and --rdzv-endpoint in place of --standalone. What is finished is never run
again, whatever happens on the way.
"""

import training  # noqa: F401 # isort: skip (not part of the lesson: it makes Ctrl-C one line)

import argparse
import functools
import math
import sys

import torch

from files import atomic
from pytorch_mnist import NUM_EPOCHS
from study import variants, workers
from study.results import RunResults, add_results_flag, create_folder
from training import command_line

SEEDS_AT_ONCE_ON_CPU = 5  # more would save little, and lose more if the process is killed
SEEDS_AT_ONCE_ON_GPU = 100
MAX_SEED = 999_999


def create_parser():
    parser = command_line.OneLineParser(
        description="Train the network of the article and the book from many seeds, and report."
    )
    parser.add_argument(
        "--seeds",
        type=parse_seeds,
        default="50",
        metavar="N|A-B",
        help="how many, from 1 on, or a range of them",
    )
    parser.add_argument(
        "--variants",
        nargs="+",
        choices=variants.VARIANTS,
        default=list(variants.VARIANTS),
        metavar="NAME",
        help="which ones, of " + ", ".join(variants.VARIANTS),
    )
    command_line.add_epochs_flag(parser, NUM_EPOCHS)
    add_results_flag(parser, "where results are kept")
    command_line.add_device_flag(parser)
    command_line.add_data_root_flag(parser)
    return parser


def parse_seeds(text):
    """Convert "20" to the seeds 1 to 20, "5-8" to 5 to 8, for argparse."""
    first, dash, last = text.rpartition("-")
    try:
        seeds = range(int(first) if dash else 1, int(last) + 1)
    except ValueError:
        seeds = ()
    if not seeds or seeds[0] < 0 or seeds[-1] > MAX_SEED:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a number of seeds nor a range A-B, of 0 to {MAX_SEED}"
        )
    return seeds


def main():
    settings = create_parser().parse_args()
    names = list(dict.fromkeys(settings.variants))  # each once
    runs = [(name, seed) for name in names for seed in settings.seeds]
    data = variants.name_data(settings.data_root)
    folder = create_folder(settings.results)
    results_folder = RunResults(folder, settings.epochs, data)
    rank, size, store = workers.join()
    train = functools.partial(
        variants.train,
        epochs=settings.epochs,
        device=settings.device,
        data_root=settings.data_root,
        data=data,
    )
    on_cpu = settings.device.type == "cpu"
    at_once = SEEDS_AT_ONCE_ON_CPU if on_cpu else SEEDS_AT_ONCE_ON_GPU
    at_once = min(at_once, math.ceil(len(runs) / size))  # so that there is work for each
    if rank > 0:
        workers.run_share(runs, results_folder, train, at_once, rank, size, store)
        return
    with atomic.lock(folder / "summary.md"):
        print(
            f"{len(runs)} runs, of {', '.join(names)} with {len(settings.seeds)} seed(s) each; "
            f"epochs {settings.epochs}, device {settings.device}, "
            f"{size} process(es), torch {torch.__version__}",
            file=sys.stderr,
        )
        results = workers.run_share(runs, results_folder, train, at_once, rank, size, store)
        write_report(results, folder)


def write_report(results, folder):
    """Write tables and pictures of the results to the folder, and print the tables."""
    # Here, as those who only train need neither pandas nor matplotlib.
    from study import plots, report, tables

    runs = report.tabulate_runs(results)
    effects = report.estimate_effects(runs)
    markdown = tables.format_all(report.summarise(runs), effects, report.place_published(runs))
    tables.write(runs, markdown, folder)
    plots.write(runs, effects, folder)
    print(f"tables and pictures are in {folder}", file=sys.stderr)
    print(markdown, end="")


if __name__ == "__main__":
    main()
