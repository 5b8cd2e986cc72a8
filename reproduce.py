"""Does the article's figure hold, and why does the article beat the book?

Trains the variants of `variants.py` from many starting points and reports how their
accuracies are distributed:

    python reproduce.py --seeds 20
    torchrun --standalone --nproc-per-node 2 reproduce.py --seeds 20

The second command shares the work out among two processes; so can several machines.
What is finished is never run again, whatever happens on the way.
"""

import interruptible  # noqa: F401 (before the imports that take long)

# isort: split
import argparse
import functools
import itertools
import json
import math
import operator
import sys
import time

from tqdm import tqdm

import command_line
import mnist_files
import ranks
import variants
from run_results import RunResults

SEEDS_AT_ONCE_ON_CPU = 5  # more would save little, and lose more if the process is killed
SEEDS_AT_ONCE_ON_GPU = 100


def create_parser():
    parser = command_line.OneLineParser(
        description="Train the network of the article and the book from many seeds, and report.",
        allow_abbrev=False,
    )

    def add(flag, help, **settings):
        parser.add_argument(flag, help=f"{help} (default: %(default)s)", **settings)

    add("--seeds", "so many, from 1 on, or a range", type=seeds, default="20", metavar="N|A-B")
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
    add(
        "--data-root", "the folder of MNIST/raw", default=mnist_files.DEFAULT_ROOT, metavar="FOLDER"
    )
    return parser


def seeds(text):
    """Convert "20" to the seeds 1 to 20, "5-8" to 5 to 8, for argparse."""
    first, dash, last = text.rpartition("-")
    try:
        seeds = range(int(first) if dash else 1, int(last) + 1)
    except ValueError:
        seeds = ()
    if not seeds or seeds[0] < 0 or seeds[-1] > command_line.MAX_SEED:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number of seeds nor a range A-B")
    return seeds


def run_share(units, files, train, at_once, rank, size, store):
    """Run this rank's share of the units (variant, seed), and wait for the others' results.

    What has a result in the folder of `files`, or in the `store` that the `size` ranks share,
    isn't run again. `train(variant, seeds)` returns the results of up to `at_once` seeds, which
    go to both at once. So rank 0 has all results in the end, though the ranks may be on
    machines that share no disk; it returns them, in the order of the units.
    """

    def publish(result):
        store.set(str((result["variant"], result["seed"])), json.dumps(result))

    def is_finished(unit):
        return store.check([str(unit)])

    results, complaints = files.read(units)
    for result in results.values():
        publish(result)

    with tqdm(total=len(units), initial=len(results), unit="run", disable=rank > 0) as progress:
        for variant, seeds in create_tasks(units, at_once)[rank::size]:
            missing = [seed for seed in seeds if not is_finished((variant, seed))]
            for seed in missing:
                if (variant, seed) in complaints:
                    progress.write(f"{complaints[variant, seed]}; running it again", sys.stderr)
            for result in train(variant, missing) if missing else ():
                files.write(result)
                publish(result)
            progress.update(sum(map(is_finished, units)) - progress.n)
        while not store.check(list(map(str, units))):  # if another rank dies, so will this one
            time.sleep(0.1)
            progress.update(sum(map(is_finished, units)) - progress.n)

    if rank > 0:
        return None
    for unit in units:
        if unit not in results:
            results[unit] = json.loads(store.get(str(unit)))
            files.write(results[unit])
    return [results[unit] for unit in units]


def create_tasks(units, at_once):
    """Divide units (variant, seed) into tasks (variant, up to `at_once` seeds)."""
    tasks = []
    for variant, its_units in itertools.groupby(units, key=operator.itemgetter(0)):
        seeds = [seed for _, seed in its_units]
        tasks += [(variant, seeds[i : i + at_once]) for i in range(0, len(seeds), at_once)]
    return tasks


def main():
    settings = create_parser().parse_args()
    names = dict.fromkeys(settings.variants)  # each once
    units = [(name, seed) for name in names for seed in settings.seeds]
    files = RunResults(settings.results, settings.epochs, settings.backprop)
    files.create_folder()
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
    rank, size, store = ranks.join()
    at_once = min(at_once, math.ceil(len(units) / size))  # so that there is work for each
    results = run_share(units, files, train, at_once, rank, size, store)
    if rank == 0:
        import reproduction_pictures
        import reproduction_report

        runs = reproduction_report.tabulate_runs(results)
        reproduction_report.write(runs, files.folder)
        reproduction_pictures.write(results, runs, files.folder)
        print(f"tables and pictures are in {files.folder}", file=sys.stderr)


if __name__ == "__main__":
    command_line.run(main)
