"""Batches of MNIST straight from memory, on the CPU or on an accelerator."""

from typing import NamedTuple

import torch
from torch.utils.data import DataLoader, Subset, default_collate
from torch.utils.weak import WeakTensorKeyDictionary
from torchvision import datasets, transforms


class MNISTLoader(DataLoader):
    """A DataLoader that cuts batches of MNIST out of one tensor instead of image by image.

    A plain DataLoader makes a PIL picture of each image and a tensor of that, again in every
    epoch: more than half of the time of a training step. The data set holds all images as one
    uint8 tensor, so here a batch is some of its rows, divided by 255 as `ToTensor` does. Batches
    and shuffling are the plain DataLoader's, bit for bit.

    It takes a DataLoader's arguments, and a `device` to assemble the batches on. What it can't
    assemble (see `find_stored_images`) comes from the plain DataLoader, on the CPU.
    """

    def __init__(self, dataset, *, device="cpu", **options):
        super().__init__(dataset, **options)
        self.device = torch.device(device)
        # Images are cut in blocks of whole batches, of about 100: enough that indexing costs little
        # for each batch, few enough that they stay in the processor's cache.
        size = self.batch_size or 1  # None where batches are the caller's
        self.block_size = size * max(1, 100 // size)
        self._copies = WeakTensorKeyDictionary()

    def __iter__(self):
        stored = find_stored_images(self.dataset)
        is_ordinary = (
            self.batch_size is not None  # None where batches or their sampler are the caller's
            and self.collate_fn is default_collate
            and self.num_workers == 0
            and not self.pin_memory
        )
        if stored is None or not is_ordinary:
            return super().__iter__()
        self._draw_worker_seed()
        return self._assemble_batches(stored)

    def draw_order(self):
        """Draw an epoch's order: the items' indices, int64. Iterating would draw the same."""
        self._draw_worker_seed()
        return self._draw_indices()

    def _draw_worker_seed(self):
        # A plain DataLoader draws a seed for its worker processes when its iterator is made.
        # Drawing one too keeps the stream of random numbers, and so the shuffling, the same.
        torch.empty((), dtype=torch.int64).random_(generator=self.generator)

    def _draw_indices(self):
        indices = torch.tensor(list(self.sampler), dtype=torch.int64)
        return indices[: len(self) * self.batch_size]  # which drops the last batch if it has to go

    def _assemble_batches(self, stored):
        stored = stored._replace(images=self._move(stored.images), labels=self._move(stored.labels))
        for indices in self._draw_indices().split(self.block_size):
            images, labels = stored.take(indices)
            yield from zip(
                images.split(self.batch_size), labels.split(self.batch_size), strict=True
            )

    def _move(self, tensor):
        """Return the tensor, or its copy on an accelerator: the same one until it is changed."""
        if self.device.type == "cpu":
            return tensor
        version, copy = self._copies.get(tensor, (None, None))
        if version != tensor._version:  # how often it was changed in place
            copy = tensor.to(self.device)
            self._copies[tensor] = tensor._version, copy
        return copy


class StoredImages(NamedTuple):
    """What the items of a data set are made of."""

    images: torch.Tensor  # uint8 [M, 28, 28]
    labels: torch.Tensor  # int64 [M]
    subset: torch.Tensor | None  # int64: which of them are the items, in order; None: all
    normalizations: list  # what follows `ToTensor`

    def take(self, indices):
        """Return the items of these indices: images float32 [N, 1, 28, 28], labels int64 [N]."""
        if self.subset is not None:
            indices = self.subset[indices]
        indices = indices.to(self.images.device)
        images = self.images.index_select(0, indices).div(255).unsqueeze(1)
        for normalize in self.normalizations:
            images = normalize(images)
        return images, self.labels.index_select(0, indices)


def find_stored_images(dataset):
    """Return the `StoredImages` of MNIST, of a subclass such as FashionMNIST, or of a `Subset`.

    Return None if an item is more than a stored image with its label, after `ToTensor` and
    perhaps `Normalize`: a random augmentation, for example, differs from image to image.
    """
    subset = None
    while type(dataset) is Subset:  # `random_split` makes them, too
        indices = torch.as_tensor(dataset.indices, dtype=torch.int64)
        if (indices < 0).any():  # counted from the end
            return None
        subset = indices if subset is None else indices[subset]
        dataset = dataset.dataset

    steps = getattr(dataset, "transform", None)
    steps = steps.transforms if type(steps) is transforms.Compose else [steps]
    is_stored = (
        isinstance(dataset, datasets.MNIST)
        and type(dataset).__getitem__ is datasets.MNIST.__getitem__
        and list(map(type, steps[:1])) == [transforms.ToTensor]
        and set(map(type, steps[1:])) <= {transforms.Normalize}
        and dataset.target_transform is None
        and torch.is_tensor(dataset.data)
        and dataset.data.dtype == torch.uint8
        and torch.is_tensor(dataset.targets)
    )
    return StoredImages(dataset.data, dataset.targets, subset, steps[1:]) if is_stored else None
