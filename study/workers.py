"""One process, or several that torchrun started, here or on several machines, share the runs."""

import itertools
import json
import operator
import os
import time

import torch
import torch.distributed as dist
from tqdm import tqdm


def join():
    """Return this process's rank, the number of ranks, and the store that they share.

    A process that torchrun didn't start is alone. The store is the launcher's: it outlives
    a rank, so that one that is restarted finds in it what was there before.
    """
    if not dist.is_available() or not dist.is_torchelastic_launched():
        return 0, 1, Store()
    store, rank, size = next(dist.rendezvous("env://"))
    if torch.accelerator.is_available():
        local_rank = int(os.environ["LOCAL_RANK"])
        torch.accelerator.set_device_index(local_rank % torch.accelerator.device_count())
    return rank, size, dist.PrefixStore("reproduce", store)


class Store(dict):
    """A process alone keeps its store in a dict: PyTorch's `HashStore` is missing on Windows."""

    set = dict.__setitem__

    def check(self, keys):
        return self.keys() >= set(keys)


def run_share(runs, results_folder, train, at_once, rank, size, store):
    """Run this rank's share of the runs (variant, seed); wait until all ranks have run theirs.

    What has a result in `results_folder`, or in the `store` that the `size` ranks share, isn't
    run again. `train(variant, seeds)` returns the results of up to `at_once` seeds, which
    go to both at once. So rank 0 can have all results in its folder in the end, though the
    ranks may be on machines that share no disk; it returns them, in the order of the runs.
    """

    def is_finished(run):
        return store.check([str(run)])

    results = results_folder.read(runs)
    for run, result in results.items():
        store.set(str(run), json.dumps(result))

    with tqdm(total=len(runs), initial=len(results), unit="run", disable=rank > 0) as progress:

        def count_finished():
            number = sum(map(is_finished, runs))
            progress.update(number - progress.n)
            return number

        for variant, seeds in create_tasks(runs, at_once)[rank::size]:
            missing = [seed for seed in seeds if not is_finished((variant, seed))]
            for result in train(variant, missing) if missing else ():
                results_folder.write(result)
                store.set(str((variant, result["seed"])), json.dumps(result))
            if rank == 0:
                count_finished()

        # All stay until all is finished: the store may be on any rank's machine. If a rank
        # dies, the launcher ends the wait.
        if rank > 0:
            while not store.check(["all"]):
                time.sleep(0.5)
            return None
        while count_finished() < len(runs):
            time.sleep(0.5)
        store.set("all", "")
    return collect(runs, results_folder, store)


def collect(runs, results_folder, store):
    """Return the results of all runs, in their order; write those of other ranks to the folder."""
    results = results_folder.read(runs)
    for run in runs:
        if run not in results:
            results[run] = json.loads(store.get(str(run)))
            results_folder.write(results[run])
    return [results[run] for run in runs]


def create_tasks(runs, at_once):
    """Divide runs (variant, seed) into tasks (variant, up to `at_once` seeds)."""
    tasks = []
    for variant, variant_runs in itertools.groupby(runs, key=operator.itemgetter(0)):
        seeds = [seed for _, seed in variant_runs]
        tasks += [(variant, seeds[i : i + at_once]) for i in range(0, len(seeds), at_once)]
    return tasks
