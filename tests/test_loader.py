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
    StackDataset,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    random_split,
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


@pytest.fixture
def theirs(originals):
    return copy.copy(originals[1])


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


class Endless:
    def __iter__(self):
        return itertools.cycle([3, 1, 4])


class WithoutLength:
    def __iter__(self):
        return iter(range(20))


def draw_weighted():
    return WeightedRandomSampler(torch.arange(10_000) + 1.0, 50)


def get_labels(items):
    return [label for _, label in items]


IN_ORDER = {"batch_size": 7, "shuffle": False}
CASES = {
    "in order": lambda data, load: load(data, **IN_ORDER),
    "shuffled": lambda data, load: load(data, 10, shuffle=True),
    "generator": lambda data, load: load(
        data, 10, shuffle=True, generator=torch.Generator().manual_seed(3)
    ),
    "single items": lambda data, load: load(Subset(data, range(5)), None, shuffle=False),
    "negative indices": lambda data, load: load(data, 7, sampler=[-1, 3, -10_000]),
    "indices of a tensor": lambda data, load: load(data, 7, sampler=torch.arange(9)),
    "sampler without end": lambda data, load: load(data, 7, sampler=Endless()),
    "sampler without length": lambda data, load: load(data, 7, sampler=WithoutLength()),
    "empty sampler": lambda data, load: load(data, 7, sampler=[]),
    "weighted sampler": lambda data, load: load(data, 7, sampler=draw_weighted()),
    "batch sampler": lambda data, load: load(
        data, batch_sampler=BatchSampler(range(100, 120), 6, drop_last=False)
    ),
    "lists as batches": lambda data, load: load(data, batch_sampler=[[3, 1], [-2]]),
    "collate_fn": lambda data, load: load(data, **IN_ORDER, collate_fn=get_labels),
    "empty batch, collate_fn": lambda data, load: load(
        data, batch_sampler=[[3, 1], []], collate_fn=get_labels
    ),
    "drop_last": lambda data, load: load(Subset(data, range(25)), **IN_ORDER, drop_last=True),
    "drop_last of less than a batch": lambda data, load: load(
        Subset(data, range(5)), 7, shuffle=True, drop_last=True
    ),
    "empty Subset": lambda data, load: load(Subset(data, []), **IN_ORDER),
    "Subset of a Subset": lambda data, load: load(
        Subset(Subset(data, np.arange(40, 60)), [3, 1, 17]), 2, shuffle=True
    ),
    "Subset by a tensor": lambda data, load: load(
        Subset(data, (data.targets == 7).nonzero().flatten()), **IN_ORDER
    ),
    "random_split": lambda data, load: load(
        random_split(data, [0.9, 0.1], torch.Generator().manual_seed(1))[1], 10, shuffle=True
    ),
    "ConcatDataset": lambda data, load: load(
        ConcatDataset([Subset(data, range(5)), data]), **IN_ORDER
    ),
    "StackDataset": lambda data, load: load(StackDataset(data, data), **IN_ORDER),
    "workers": lambda data, load: load(
        data, 100, shuffle=True, num_workers=1, multiprocessing_context="fork"
    ),
}


NO_FORK = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows starts workers anew")


@LOADERS
@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=NO_FORK if case == "workers" else ()) for case in CASES]
)
def test_a_loader_gives_what_the_plain_one_gives(case, load, ours, theirs):
    given = go_through(CASES[case](ours, load))
    assert_same(given, go_through(CASES[case](theirs, DataLoader)))


@pytest.mark.parametrize(
    "case", ["empty Subset", "empty sampler", "drop_last of less than a batch"]
)
def test_where_there_are_no_images_there_is_no_batch(case, ours):
    assert go_through(CASES[case](ours, common.get_loader))[0] == [[], []]


WRONG = {
    "empty Subset, shuffled": lambda data, load: load(Subset(data, []), shuffle=True),
    "Subset by a tensor's mask": lambda data, load: load(Subset(data, data.targets == 7)),
    "Subset by a list's mask": lambda data, load: load(Subset(data, (data.targets == 7).tolist())),
    "mask as sampler": lambda data, load: load(data, sampler=data.targets == 7),
    "fractions": lambda data, load: load(data, sampler=np.linspace(0, 9, 5)),
    "beyond the last": lambda data, load: load(data, sampler=[1, 10_000]),
    "before the first": lambda data, load: load(data, sampler=[1, -10_001]),
    "no batch size": lambda data, load: load(data, 0),
    "empty batch": lambda data, load: load(data, batch_sampler=[[3, 1], []]),
}


@LOADERS
@pytest.mark.parametrize("case", WRONG)
def test_a_loader_refuses_what_the_plain_one_refuses(case, load, ours, theirs):
    with pytest.raises((TypeError, ValueError, IndexError)) as expected:
        list(WRONG[case](theirs, DataLoader))
    with pytest.raises((expected.type, RuntimeError)):  # which PyTorch's indexing raises for masks
        list(WRONG[case](ours, load))


@LOADERS
def test_batches_have_the_default_dtype(load, ours, theirs):
    torch.set_default_dtype(torch.float64)
    try:
        assert_same(go_through(load(ours, 7, shuffle=False)), go_through(DataLoader(theirs, 7)))
    finally:
        torch.set_default_dtype(torch.float32)


LABELS = {
    "bool": lambda targets: targets % 2 == 0,
    "float": lambda targets: targets.float(),
    "fractions": lambda targets: targets + 0.7,
    "uint8": lambda targets: targets.to(torch.uint8),
    "int32": lambda targets: targets.int(),
    "a column": lambda targets: targets[:, None],
    "a list": lambda targets: targets.tolist(),
    "an array": lambda targets: targets.numpy(),
}


@LOADERS
@pytest.mark.parametrize("kind", LABELS)
def test_replaced_labels_are_int64_for_each_image(kind, load, ours, theirs):
    for dataset in (ours, theirs):
        dataset.targets = LABELS[kind](dataset.targets)
    given = go_through(load(ours, 7, shuffle=True))
    assert_same(given, go_through(DataLoader(theirs, 7, shuffle=True)))
    for _, labels in given[0][0]:
        assert (labels.dtype, labels.shape) == (torch.int64, (7,))


def test_labels_as_a_column_are_refused_where_they_would_broadcast():
    dataset = TensorDataset(torch.rand(20, 10), torch.arange(20)[:, None] % 10)
    loader = common.get_loader(dataset)
    with pytest.raises(common.RefusedError, match=r"labels \[N\], not \[10, 10\] and \[10, 1\]"):
        common.test_network(loader, torch.nn.Identity(), lambda images: images)
    with pytest.raises(common.RefusedError, match=r"labels must be \[N\], not \[20, 1\]"):
        common.expand_expected_output(dataset.tensors[1], 10)


class Doubling(transforms.Compose):
    def __call__(self, image):
        return 2 * super().__call__(image)


NORMALIZE = transforms.Normalize((0.1305,), (0.3081,))
TRANSFORMS = {
    "normalised": common.normalized_transformations,
    "twice": transforms.Compose([transforms.ToTensor(), NORMALIZE, NORMALIZE]),
    "normalised by numbers": transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize(0.1305, 0.3081)]
    ),
    "not composed": transforms.ToTensor(),
    "at random": transforms.RandomApply([transforms.ToTensor(), NORMALIZE], p=1.0),
    "a subclass of Compose": Doubling([transforms.ToTensor()]),
    "before the tensor": transforms.Compose(
        [transforms.RandomAffine(10, (0.1, 0.1)), transforms.ToTensor()]
    ),
    "after it": transforms.Compose([transforms.ToTensor(), transforms.RandomErasing()]),
    "a function": lambda image: torch.tensor(image.getextrema()),
}


@LOADERS
@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_transform_is_applied(name, load, ours, theirs):
    ours.transform = theirs.transform = TRANSFORMS[name]
    given = go_through(load(ours, 7, shuffle=True))
    assert_same(given, go_through(DataLoader(theirs, 7, shuffle=True)))


def test_a_deviation_of_0_is_refused_as_by_torchvision(ours, theirs):
    steps = [transforms.ToTensor(), transforms.Normalize((0.1,), (0.0,))]
    ours.transform = theirs.transform = transforms.Compose(steps)
    for loader in (DataLoader(theirs, 7), common.get_loader(ours), common.get_loader(ours)):
        with pytest.raises(ValueError, match="std evaluated to zero"):
            next(iter(loader))


@LOADERS
def test_a_target_transform_is_applied(load, ours, theirs):
    ours.target_transform = theirs.target_transform = lambda label: label / 10
    assert_same(go_through(load(ours, **IN_ORDER)), go_through(DataLoader(theirs, **IN_ORDER)))


@LOADERS
def test_a_subclass_has_its_own_items(load, ours):
    class Turned(common.MNIST):
        def __getitem__(self, index):
            image, label = super().__getitem__(index)
            return image.flip(1), 9 - label

    images, labels = next(iter(DataLoader(ours, **IN_ORDER)))
    ours.__class__ = Turned
    assert_same(next(iter(load(ours, **IN_ORDER))), [images.flip(2), 9 - labels])


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda loader: pickle.loads(pickle.dumps(loader))]
)
def test_a_copied_or_pickled_loader_works(copied, ours):
    loader = common.get_loader(ours)
    assert_same(go_through(copied(loader)), go_through(loader))


def test_a_worker_that_starts_anew_gives_the_same(ours):
    """As on Windows and macOS, where everything is handed over pickled."""
    ours.data = ours.data[:100]
    settings = {"num_workers": 1, "multiprocessing_context": "spawn"}
    assert_same(
        list(common.get_loader(ours, 40, shuffle=False, **settings)),
        list(DataLoader(ours, 40)),
    )


def test_whole_batches_are_cut_from_memory(ours):
    """And not, image by image, made of pictures: that is what makes it fast."""
    for transform in (common.transformations, common.normalized_transformations):
        ours.transform = transform
        assert isinstance(ours.__getitems__([1, 2]), common.Batch)
        assert isinstance(Subset(ours, range(9)).__getitems__([1, 2]), common.Batch)
