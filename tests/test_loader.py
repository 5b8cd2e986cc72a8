"""Batches of our data sets, against a plain DataLoader over torchvision's own MNIST, bit for bit.

Each case is run by `common.get_loader`, and by a plain DataLoader over our data set, too.
"""

import copy
import itertools
import os
import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Subset,
)
from torchvision import datasets, transforms

import common

LOADERS = pytest.mark.parametrize("load", [common.get_loader, DataLoader])


@pytest.fixture(scope="module")
def originals(textbook_root):
    """Our test set and torchvision's."""
    return [
        common.get_dataset(train=False),
        datasets.MNIST(textbook_root, train=False, transform=transforms.ToTensor()),
    ]


@pytest.fixture
def ours(originals):
    return copy.copy(originals[0])


def go_through(loader, num_batches=12):
    """Return what comes out of a loader in two epochs, and the random state afterwards."""
    torch.manual_seed(5)
    epochs = [list(itertools.islice(loader, num_batches)) for _ in range(2)]
    return epochs, torch.get_rng_state()


def assert_same(given, expected):
    """Compare nested sequences of tensors and plain values, with dtypes."""
    if torch.is_tensor(expected):
        assert given.dtype == expected.dtype
        assert torch.equal(given, expected)
    elif isinstance(expected, list | tuple):
        assert len(given) == len(expected)
        for part, expected_part in zip(given, expected, strict=True):
            assert_same(part, expected_part)
    else:
        assert given == expected


def get_labels(items):
    return [label for _, label in items]


def changed(dataset, **attributes):
    """Return a copy of a data set with other attributes."""
    dataset = copy.copy(dataset)
    vars(dataset).update(attributes)
    return dataset


class Doubling(transforms.Compose):
    def __call__(self, image):
        return 2 * super().__call__(image)


IN_ORDER = {"batch_size": 7, "shuffle": False}
CASES = {
    "shuffled": lambda data, load: load(data, 10, shuffle=True),
    "generator": lambda data, load: load(
        data, 10, shuffle=True, generator=torch.Generator().manual_seed(3)
    ),
    "single items": lambda data, load: load(Subset(data, range(5)), None, shuffle=False),
    "negative indices": lambda data, load: load(data, 7, sampler=[-1, 3, -10_000]),
    "indices of a tensor": lambda data, load: load(data, 7, sampler=torch.arange(9)),
    "empty sampler": lambda data, load: load(data, 7, sampler=[]),
    "batch sampler": lambda data, load: load(
        data, batch_sampler=BatchSampler(range(100, 120), 6, drop_last=False)
    ),
    "collate_fn": lambda data, load: load(data, **IN_ORDER, collate_fn=get_labels),
    "empty batch, collate_fn": lambda data, load: load(
        data, batch_sampler=[[3, 1], []], collate_fn=get_labels
    ),
    "drop_last": lambda data, load: load(Subset(data, range(25)), **IN_ORDER, drop_last=True),
    "Subset of a Subset": lambda data, load: load(
        Subset(Subset(data, np.arange(40, 60)), [3, 1, 17]), 2, shuffle=True
    ),
    "ConcatDataset": lambda data, load: load(
        ConcatDataset([Subset(data, range(5)), data]), **IN_ORDER
    ),
    "workers": lambda data, load: load(
        data, 100, shuffle=True, num_workers=1, multiprocessing_context="fork"
    ),
}

LABELS = {
    "bool": lambda labels: labels % 2 == 0,
    "fractions": lambda labels: labels + 0.7,
    "uint8": lambda labels: labels.to(torch.uint8),
    "a column": lambda labels: labels[:, None],
    "a list": lambda labels: labels.tolist(),
}

NORMALIZE = transforms.Normalize((0.1305,), (0.3081,))
TRANSFORMS = {
    "normalised": common.normalized_transformations,
    "twice": transforms.Compose([transforms.ToTensor(), NORMALIZE, NORMALIZE]),
    "normalised by numbers": transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize(0.1305, 0.3081)]
    ),
    "not composed": transforms.ToTensor(),
    "a subclass of Compose": Doubling([transforms.ToTensor()]),
    "before the tensor": transforms.Compose(
        [transforms.RandomAffine(10, (0.1, 0.1)), transforms.ToTensor()]
    ),
    "a function": lambda image: torch.tensor(image.getextrema()),
}

CHANGES = {
    **{
        f"labels: {name}": lambda data, change=change: {"targets": change(data.targets)}
        for name, change in LABELS.items()
    },
    **{
        f"transform: {name}": lambda data, transform=transform: {"transform": transform}
        for name, transform in TRANSFORMS.items()
    },
    "target_transform": lambda data: {"target_transform": lambda label: label / 10},
}

NO_FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows starts workers anew")


@LOADERS
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=NO_FORK if case == "workers" else ()) for case in CASES]
)
def test_a_loader_gives_what_the_plain_one_gives(case, load, originals):
    ours, theirs = originals
    assert_same(go_through(CASES[case](ours, load)), go_through(CASES[case](theirs, DataLoader)))


@LOADERS
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_data_set_gives_what_torchvision_s_gives(change, load, originals):
    ours, theirs = (changed(data, **CHANGES[change](data)) for data in originals)
    expected = go_through(DataLoader(theirs, 7, shuffle=True))
    assert_same(go_through(load(ours, 7, shuffle=True)), expected)


DIVIDING_BY_0 = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.1,), (0.0,))])
WRONG = {
    "empty Subset, shuffled": lambda data, load: load(Subset(data, []), shuffle=True),
    "mask as sampler": lambda data, load: load(data, sampler=data.targets == 7),
    "fractions": lambda data, load: load(data, sampler=np.linspace(0, 9, 5)),
    "beyond the last": lambda data, load: load(data, sampler=[1, 10_000]),
    "before the first": lambda data, load: load(data, sampler=[1, -10_001]),
    "no batch size": lambda data, load: load(data, 0),
    "empty batch": lambda data, load: load(data, batch_sampler=[[3, 1], []]),
    "deviation of 0": lambda data, load: load(changed(data, transform=DIVIDING_BY_0)),
}


@LOADERS
@pytest.mark.parametrize("case", WRONG)
def test_a_loader_refuses_what_the_plain_one_refuses(case, load, originals):
    ours, theirs = originals
    with pytest.raises((TypeError, ValueError, IndexError)) as expected:
        list(WRONG[case](theirs, DataLoader))
    with pytest.raises((expected.type, RuntimeError)):  # which PyTorch's indexing raises for masks
        list(WRONG[case](ours, load))


@LOADERS
def test_batches_have_the_default_dtype(load, originals):
    ours, theirs = originals
    torch.set_default_dtype(torch.float64)
    try:
        assert_same(go_through(load(ours, 7, shuffle=False)), go_through(DataLoader(theirs, 7)))
    finally:
        torch.set_default_dtype(torch.float32)


@LOADERS
def test_a_subclass_has_its_own_items(load, ours):
    class Turned(common.MNIST):
        def __getitem__(self, index):
            image, label = super().__getitem__(index)
            return image.flip(1), 9 - label

    images, labels = next(iter(DataLoader(ours, **IN_ORDER)))
    ours.__class__ = Turned
    assert_same(next(iter(load(ours, **IN_ORDER))), [images.flip(2), 9 - labels])


def test_a_worker_that_starts_anew_gives_the_same(ours):
    """As on Windows and macOS, where everything is handed over pickled."""
    ours.data = ours.data[:100]
    again = pickle.loads(pickle.dumps(common.get_loader(ours, 40, shuffle=False)))
    assert_same(list(again), list(DataLoader(ours, 40)))


def test_whole_batches_are_cut_from_memory(ours):
    """And not, image by image, made of pictures: that is what makes it fast."""
    for transform in (common.transformations, common.normalized_transformations):
        ours.transform = transform
        assert isinstance(ours.__getitems__([1, 2]), common.Batch)
        assert isinstance(Subset(ours, range(9)).__getitems__([1, 2]), common.Batch)
