"""Batches of MNIST straight from memory, on the CPU or on an accelerator."""

import torch
from torch.utils.data import DataLoader
from torchvision import datasets, transforms


def get_block_size(batch_size):
    """Return how many images, whole batches of them, are cut from a data set at once.

    About 100: enough that indexing costs little for each batch, few enough that they stay
    in the processor's cache.
    """
    return batch_size * max(1, 100 // batch_size)


class MNISTLoader(DataLoader):
    """A DataLoader that assembles batches of MNIST by indexing, without Python per image.

    A plain DataLoader makes of each image a PIL picture and of that a tensor, again in
    every epoch: more than half of the time of a training step. The data set holds all images
    as one uint8 tensor, so here a batch is its rows, divided by 255 as `ToTensor` does. Batches
    and shuffling are the plain DataLoader's, bit for bit. A data set that does more to an
    image than `ToTensor` is left to the plain DataLoader.
    """

    def __init__(self, dataset, batch_size, shuffle):
        # No other options: what assembles batches here would pass over them.
        super().__init__(dataset, batch_size=batch_size, shuffle=shuffle)

    def __iter__(self):
        if _yields_images_as_stored(self.dataset):
            return self._assemble_on(torch.device("cpu"))
        return super().__iter__()

    def iterate_on(self, device):
        """Iterate over one epoch's batches on `device`, assembled there if they can be."""
        if _yields_images_as_stored(self.dataset):
            return self._assemble_on(device)
        return iterate_on(device, super().__iter__())

    def draw_order(self):
        """Draw an epoch's order: the items' indices, int64. Iterating would draw the same."""
        self._draw_worker_seed()
        return self._draw_indices()

    def _draw_worker_seed(self):
        # A plain DataLoader draws a seed for its worker processes when its iterator is made.
        # Drawing one too keeps the stream of random numbers, and so the shuffling, the same.
        torch.empty((), dtype=torch.int64).random_()

    def _draw_indices(self):
        return torch.tensor(list(self.sampler), dtype=torch.int64)

    def _assemble_on(self, device):
        self._draw_worker_seed()
        return self._assemble_batches(device)

    def _assemble_batches(self, device):
        all_images, all_labels = self.dataset.data.to(device), self.dataset.targets.to(device)
        order = self._draw_indices().to(device)
        for indices in order.split(get_block_size(self.batch_size)):
            images = all_images.index_select(0, indices).div(255).unsqueeze(1)
            labels = all_labels.index_select(0, indices)
            yield from zip(
                images.split(self.batch_size), labels.split(self.batch_size), strict=True
            )


def _yields_images_as_stored(dataset):
    """Is an item of this data set just `ToTensor` of a stored image, with its label?"""
    return (
        isinstance(dataset, datasets.MNIST)
        and type(dataset).__getitem__ is datasets.MNIST.__getitem__
        and [type(step) for step in getattr(dataset.transform, "transforms", [dataset.transform])]
        == [transforms.ToTensor]
        and dataset.target_transform is None
        and torch.is_tensor(dataset.data)
        and dataset.data.dtype == torch.uint8
        and torch.is_tensor(dataset.targets)
    )


def iterate_on(device, data_loader):
    """Iterate over one epoch's batches of images and labels, on `device`."""
    if isinstance(data_loader, MNISTLoader):
        return data_loader.iterate_on(device)
    return ((images.to(device), labels.to(device)) for images, labels in data_loader)
