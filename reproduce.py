"""Does the article's figure hold, and why does the article beat the book?

Trains the variants of `variants.py` from many starting points and reports how their
accuracies are distributed:

    python reproduce.py --seeds 20
    torchrun --standalone --nproc-per-node 2 reproduce.py --seeds 20

The second command shares the work out among two processes; so can several machines.
What is finished is never run again, whatever happens on the way.
"""

import argparse
import functools
import itertools
import json
import math
import operator
import sys
import time

import torch
from tqdm import tqdm

from mnist import files as mnist_files
from study import variants, workers
from study.results import RunResults
from training import command_line

SEEDS_AT_ONCE_ON_CPU = 5  # more would save little, and lose more if the process is killed
SEEDS_AT_ONCE_ON_GPU = 100
MAX_SEED = 999_999


def create_parser():
    parser = command_line.OneLineParser(
        description="Train the network of the article and the book from many seeds, and report.",
        allow_abbrev=False,
    )
    add = functools.partial(command_line.add_flag, parser)
    add(
        "--seeds", "so many, from 1 on, or a range", type=parse_seeds, default="20", metavar="N|A-B"
    )
    add(
        "--variants",
        "which ones, of " + ", ".join(variants.VARIANTS),
        nargs="+",
        choices=variants.VARIANTS,
        default=list(variants.VARIANTS),
        metavar="NAME",
    )
    add(
        "--epochs",
        "passes over the training data",
        type=command_line.positive_int,
        default=30,
        metavar="N",
    )
    add(
        "--backprop",
        "as backprop_manual_mnist.py or as pytorch_mnist.py",
        choices=["manual", "autograd"],
        default="manual",
    )
    add("--results", "where results are kept", default="reproduction", metavar="FOLDER")
    add("--device", "auto or a name", type=command_line.usable_device, default="auto")
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


def run_share(units, files, train, at_once, rank, size, store):
    """Run this rank's share of the units (variant, seed); wait until all ranks have run theirs.

    What has a result in the folder of `files`, or in the `store` that the `size` ranks share,
    isn't run again. `train(variant, seeds)` returns the results of up to `at_once` seeds, which
    go to both at once. So rank 0 can have all results in its folder in the end, though the
    ranks may be on machines that share no disk; it returns them, in the order of the units.
    """

    def is_finished(unit):
        return store.check([str(unit)])

    results, complaints = files.read(units)
    for unit, result in results.items():
        store.set(str(unit), json.dumps(result))
    awaited = [unit for unit in units if unit not in results]

    with tqdm(total=len(units), initial=len(results), unit="run", disable=rank > 0) as progress:

        def show_progress():
            awaited[:] = itertools.filterfalse(is_finished, awaited)
            progress.update(len(units) - len(awaited) - progress.n)

        for variant, seeds in create_tasks(units, at_once)[rank::size]:
            missing = [seed for seed in seeds if not is_finished((variant, seed))]
            for seed in missing:
                if (variant, seed) in complaints:
                    progress.write(f"{complaints[variant, seed]}; running it again", sys.stderr)
            for result in train(variant, missing) if missing else ():
                files.write(result)
                store.set(str((variant, result["seed"])), json.dumps(result))
            if rank == 0:
                show_progress()

        # All stay until all is finished: the store may be on any rank's machine. If a rank
        # dies, the launcher ends the wait.
        if rank > 0:
            while not store.check(["all"]):
                time.sleep(0.5)
            return None
        while awaited:
            time.sleep(0.5)
            show_progress()
        store.set("all", "")

    here, _ = files.read(units)
    for unit in units:
        if unit not in here:
            here[unit] = json.loads(store.get(str(unit)))
            files.write(here[unit])
    return [here[unit] for unit in units]


def create_tasks(units, at_once):
    """Divide units (variant, seed) into tasks (variant, up to `at_once` seeds)."""
    tasks = []
    for variant, its_units in itertools.groupby(units, key=operator.itemgetter(0)):
        seeds = [seed for _, seed in its_units]
        tasks += [(variant, seeds[i : i + at_once]) for i in range(0, len(seeds), at_once)]
    return tasks


def main():
    settings = create_parser().parse_args()
    names = list(dict.fromkeys(settings.variants))  # each once
    units = [(name, seed) for name in names for seed in settings.seeds]
    mnist_files.prepare(mnist_files.find_root(settings.data_root))  # or says so at once
    files = RunResults(settings.results, settings.epochs, settings.backprop)
    files.create_folder()
    rank, size, store = workers.join()
    if rank == 0:
        files.lock()
        print(
            f"{len(units)} runs, of {', '.join(names)} with {len(settings.seeds)} seed(s) each; "
            f"epochs {settings.epochs}, backprop {settings.backprop}, device {settings.device}, "
            f"{size} process(es), torch {torch.__version__}",
            file=sys.stderr,
        )

    train = functools.partial(
        variants.train,
        epochs=settings.epochs,
        backprop=settings.backprop,
        device=settings.device,
        data_root=settings.data_root,
    )
    on_cpu = settings.device.type == "cpu"
    at_once = SEEDS_AT_ONCE_ON_CPU if on_cpu else SEEDS_AT_ONCE_ON_GPU
    if settings.backprop == "autograd":
        at_once = 1
    at_once = min(at_once, math.ceil(len(units) / size))  # so that there is work for each
    results = run_share(units, files, train, at_once, rank, size, store)
    if rank == 0:
        report(results, files.folder)


def report(results, folder):
    """Write tables and pictures of the results to the folder, and print the summary."""
    from study import plots, report

    runs = report.tabulate_runs(results)
    summary = report.summarise(runs)
    report.write(runs, summary, folder)
    plots.write(results, runs, folder)
    print(f"tables and pictures are in {folder}", file=sys.stderr)
    print(summary.to_string(index=False, float_format="%.2f"))


if __name__ == "__main__":
    command_line.run(main)
