"""Does it pay to train several networks at once? Seconds for an epoch of one network."""

import argparse
import contextlib
import io
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import nn

import backprop_manual_mnist
import common
from mnist.images import keep_first
from pytorch_mnist import LEARNING_RATE, Net, create_input_reshaper, create_loss_function
from study import stacked


def time_one(num_images):
    """Train one network alone, as `backprop_manual_mnist.py` does."""
    loader = get_loader(num_images)
    net = Net()
    sgd = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE)
    reshape_input, calc_loss = create_input_reshaper(), create_loss_function(nn.MSELoss())
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        backprop_manual_mnist.train_network(loader, net, 1, sgd, reshape_input, calc_loss)
    return time.perf_counter() - start


def time_stack(size, num_images):
    """Train so many networks at once; return each one's share."""
    loader = get_loader(num_images)
    nets, random_states = stacked.create_networks(Net, range(size))
    start = time.perf_counter()
    stacked.train_networks(nets, random_states, loader, LEARNING_RATE, epochs=[1])
    return (time.perf_counter() - start) / size


def get_loader(num_images):
    return common.get_loader(keep_first(common.get_dataset(), num_images))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1, 2, 5, 10, 20, 50])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=60_000)
    settings = parser.parse_args()
    torch.set_num_threads(1)

    times = {size: [] for size in ["alone", *settings.sizes]}
    for _ in range(settings.rounds):  # in turn, so that a busy moment hits all
        times["alone"].append(time_one(settings.images))
        for size in settings.sizes:
            times[size].append(time_stack(size, settings.images))

    medians = {size: statistics.median(its_times) for size, its_times in times.items()}
    print("| networks at once | s/epoch of one | times faster than alone |")
    print("|---|--:|--:|")
    for size, median in medians.items():
        print(f"| {size} | {median:.3f} | {medians['alone'] / median:.2f} |")


if __name__ == "__main__":
    main()
