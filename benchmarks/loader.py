"""How much faster than a plain DataLoader are the batches that are cut from memory?

Goes through an epoch of each data set, by `common.get_loader` and by a plain DataLoader in turn,
and prints the medians' ratio.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch.utils.data import DataLoader, Dataset, Subset, random_split

import common

DATA_SETS = {
    "MNIST": common.get_dataset,
    "normalised": lambda: common.get_dataset(transform=common.normalized_transformations),
    "random_split, 50,000": lambda: random_split(common.get_dataset(), [50_000, 10_000])[0],
    "Subset, 10,000": lambda: Subset(common.get_dataset(), range(10_000)),
}


class Items(Dataset):
    """A data set's items one by one, as torchvision's own MNIST gives them to a DataLoader."""

    def __init__(self, dataset):
        self.dataset = dataset

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, index):
        return self.dataset[index]


def time_epoch(loader):
    start = time.perf_counter()
    for _ in loader:
        pass
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    settings = parser.parse_args()
    torch.set_num_threads(1)

    print("| data set | s/epoch | plain DataLoader, s/epoch | times faster |")
    print("|---|--:|--:|--:|")
    for name, create in DATA_SETS.items():
        dataset = create()
        ours, plain = common.get_loader(dataset), DataLoader(Items(dataset), 10, shuffle=True)
        times = [(time_epoch(ours), time_epoch(plain)) for _ in range(settings.rounds)]
        fast, slow = map(statistics.median, zip(*times, strict=True))
        print(f"| {name} | {fast:.3f} | {slow:.2f} | {slow / fast:.0f} |", flush=True)


if __name__ == "__main__":
    main()
