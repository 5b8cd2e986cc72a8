"""How much faster than a plain DataLoader are the batches that are cut from memory?

Goes through an epoch of each data set, by `common.get_loader` and by a plain DataLoader in turn,
and prints the medians' ratio. "Within a training" is what the batches cost as a share of a step of
the training by autograd with ready ones, in CPU seconds, and how many times as much a plain
DataLoader's cost there: beside a training, the caches are cold.
"""

import argparse
import itertools
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, random_split

import common
import pytorch_mnist

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


def time_within_training(loaders, num_blocks, num_steps):
    """Return the median CPU seconds of a training step with each of the loaders' batches.

    They take turns, a block of steps each.
    """
    net = pytorch_mnist.Net()
    sgd = torch.optim.SGD(net.parameters(), lr=pytorch_mnist.LEARNING_RATE)
    reshape_input = pytorch_mnist.create_input_reshaper()
    compute_loss = pytorch_mnist.create_loss_function(nn.MSELoss())
    batches = [itertools.chain.from_iterable(itertools.repeat(loader)) for loader in loaders]
    seconds = [[] for _ in loaders]
    for _, (its_batches, its_seconds) in itertools.product(
        range(num_blocks), list(zip(batches, seconds, strict=True))
    ):
        start = time.process_time()
        for images, labels in itertools.islice(its_batches, num_steps):
            loss = compute_loss(net(reshape_input(images)), labels)
            sgd.zero_grad()
            loss.backward()
            sgd.step()
        its_seconds.append((time.process_time() - start) / num_steps)
    return list(map(statistics.median, seconds))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=60, help="of 60 training steps")
    settings = parser.parse_args()
    torch.set_num_threads(1)

    print("| data set | s/epoch | plain DataLoader, s/epoch | times faster | within a training |")
    print("|---|--:|--:|--:|--:|")
    for name, create in DATA_SETS.items():
        dataset = create()
        ours, plain = common.get_loader(dataset), DataLoader(Items(dataset), 10, shuffle=True)
        times = [(time_epoch(ours), time_epoch(plain)) for _ in range(settings.rounds)]
        fast, slow = map(statistics.median, zip(*times, strict=True))
        batches = list(itertools.islice(ours, 1500))
        ready, with_ours, with_plain = time_within_training(
            [batches, ours, plain], settings.blocks, num_steps=60
        )
        cost, plain_cost = with_ours - ready, with_plain - ready
        within = f"{100 * cost / ready:.0f} % of a step; {plain_cost / cost:.0f} times faster"
        print(f"| {name} | {fast:.3f} | {slow:.2f} | {slow / fast:.0f} | {within} |", flush=True)


if __name__ == "__main__":
    main()
