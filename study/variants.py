"""The variants between the article's experiment and the book's: they differ in three things.

Both train a 784-100-10 network of sigmoids for 30 epochs, in batches of 10 at learning rate
3.0: the article as `pytorch_mnist.py` does, the book in chapter 1 of Nielsen's "Neural Networks
and Deep Learning". Each variant is named by what it takes from the book; `book` takes all three.
"""

import platform
import time
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.data import Subset

import common
from common import DEFAULT_ROOT, RefusedError
from pytorch_mnist import LEARNING_RATE, OUTPUT_SIZE, Net
from study import stacked

# Who published what, of one run of which variant: per cent of the test images recognised
PUBLISHED = [
    ("article, first run", "article", 97.85),
    ("article, second run", "article", 97.96),
    ("companion repository, inputs 0 to 1", "article", 97.78),
    ("companion repository, normalised inputs", "normalized", 97.58),
    ("book", "book", 96.59),
]


class Variant(NamedTuple):
    """What is not the article's in a variant."""

    book_init: bool = False
    book_cost: bool = False
    book_data: bool = False
    normalized: bool = False  # the inputs, as the companion repository's latest version has them


VARIANTS = {
    "article": Variant(),
    "init": Variant(book_init=True),
    "cost": Variant(book_cost=True),
    "data": Variant(book_data=True),
    "init+cost": Variant(book_init=True, book_cost=True),
    "init+data": Variant(book_init=True, book_data=True),
    "cost+data": Variant(book_cost=True, book_data=True),
    "book": Variant(book_init=True, book_cost=True, book_data=True),
    "normalized": Variant(normalized=True),
}


def create_network(variant):
    """Return an untrained `Net`, with weights and biases from N(0, 1) if they are the book's.

    PyTorch's own are uniform within 1/sqrt(n) of 0, for a layer of n inputs: within 0.036 in
    the hidden layer, 0.1 in the output layer.
    """
    net = Net()
    if variant.book_init:
        for parameter in net.parameters():
            nn.init.normal_(parameter)
    return net


BOOK_TRAINING_SIZE = 50_000  # the book keeps the last 10,000 images for validation


def get_train_loader(variant, data_root=DEFAULT_ROOT, device="cpu"):
    """Return the shuffled training batches, of the first 50,000 images if they are the book's.

    They are on the device. Raises RefusedError if there are fewer images.
    """
    transform = common.get_transform(variant.normalized)
    dataset = common.get_dataset(data_root, transform=transform).to(device)
    if variant.book_data:
        if len(dataset) < BOOK_TRAINING_SIZE:
            raise RefusedError(
                f"the book trains on {BOOK_TRAINING_SIZE:,} images, and there are only "
                f"{len(dataset):,} in {data_root}; leave out the variants with its data"
            )
        dataset = Subset(dataset, range(BOOK_TRAINING_SIZE))
    return common.get_loader(dataset)


def read_all(dataset):
    """Return all images [M, 1, 28, 28] of a data set, and its labels [M]."""
    return next(iter(common.get_loader(dataset, batch_size=len(dataset), shuffle=False)))


def get_cost_factor(variant):
    """Return the variant's cost as a multiple of the article's, and so its gradients': 5 or 1.

    The book's cost is 1/2 ||y - a||^2, averaged over the batch. With S the sum of (a - y)^2 over
    its N rows and 10 columns, this is S / (2 N), while the article's, the mean over both, is
    S / (10 N).
    """
    return OUTPUT_SIZE / 2 if variant.book_cost else 1


def get_learning_rate(variant):
    """Return the rate at which steps down the article's cost are those down the variant's.

    The book's 3.0 does what 15.0 does with the article's cost.
    """
    return LEARNING_RATE * get_cost_factor(variant)


def name_data(data_root=DEFAULT_ROOT):
    """Return None if the data are MNIST's, as older results assume, or their names."""
    names = [common.name_data(common.get_dataset(data_root, train)) for train in (True, False)]
    return None if names == ["MNIST", "MNIST"] else names


def get_settings(name, epochs, data=None):
    """Return all that decides how a variant's run ends, but its seed: a dict of plain values.

    `data` is what `name_data` returns.
    """
    return {
        "data": data,
        **VARIANTS[name]._asdict(),
        "epochs": epochs,
        "backprop": "manual",  # as the results of older versions have it
        "lr": LEARNING_RATE,
        "batch_size": common.BATCH_SIZE,
    }


def train(name, seeds, *, epochs, device="cpu", data_root=DEFAULT_ROOT, data=None):
    """Train the variant of this name once for each of the seeds; return the results, dicts.

    All seeds are trained at once, by `stacked`. "article" with seed k is, up to rounding, the
    training of `pytorch_mnist.py --seed k`. `data` is what `name_data` returns. Accuracies are
    fractions of the test images, errors fractions of a digit's test images, seconds each run's
    share.
    """
    variant = VARIANTS[name]
    train_loader = get_train_loader(variant, data_root, device)
    transform = common.get_transform(variant.normalized)
    test_set = common.get_dataset(data_root, train=False, transform=transform).to(device)

    start = time.monotonic()
    nets, random_states = stacked.create_networks(lambda: create_network(variant).to(device), seeds)
    test_images, test_labels = read_all(test_set)
    test_inputs = test_images.flatten(1)
    missed = torch.zeros(len(seeds), epochs, OUTPUT_SIZE, dtype=torch.float64)  # of each digit

    def count_after_each_epoch():
        for epoch in range(epochs):
            yield epoch
            for net, net_missed in zip(nets, missed, strict=True):
                net_missed[epoch] = count_missed(net, test_inputs, test_labels)

    lr = get_learning_rate(variant)
    stacked.train_networks(nets, random_states, train_loader, lr, count_after_each_epoch())
    seconds = (time.monotonic() - start) / len(seeds)

    num_images = torch.bincount(test_labels, minlength=OUTPUT_SIZE).cpu()  # of each digit
    accuracies = (len(test_set) - missed.sum(dim=2)) / len(test_set)
    errors = missed[:, -1] / num_images.clamp(min=1)
    return [
        {
            "variant": name,
            "seed": seed,
            "accuracy": accuracy_after_epoch[-1],
            "error_per_digit": error_per_digit,
            "accuracy_after_epoch": accuracy_after_epoch,
            "settings": get_settings(name, epochs, data),
            "machine": {
                "device": str(device),
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
            "seconds": seconds,
        }
        for seed, accuracy_after_epoch, error_per_digit in zip(
            seeds, accuracies.tolist(), errors.tolist(), strict=True
        )
    ]


@torch.no_grad()
def count_missed(net, inputs, labels):
    """Count the images of each digit that the network takes for another: int64 [10].

    `inputs` are float32 [N, 784], `labels` int64 [N], on the network's device.
    """
    predictions = net(inputs).argmax(dim=1)
    return torch.bincount(labels[predictions != labels], minlength=OUTPUT_SIZE).cpu()
