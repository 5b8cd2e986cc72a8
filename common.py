"""What the experiments share: the MNIST loaders, the train and test loops, one-hot expansion.

Data flows one way: a loader yields batches of images and labels, `train_network` fits a
model to them, `test_network` counts how many digits it then gets right. A script defines
its network and its settings and calls these functions; this module imports no script.
"""

import functools
import math
import operator

import torch
from torch.utils.data import DataLoader

import mnist_files
from matched_torchvision import datasets, transforms

BATCH_SIZE = 10
IMAGES_AT_ONCE = 100  # in the making of batches

# Pixels become float32, from 0.0 (black) to 1.0 (white).
transformations = transforms.Compose([transforms.ToTensor()])


def get_dataset(root="./data", train=True, transform=transformations, download=True):
    """Return MNIST's 60,000 training or 10,000 test items, each (float32 [1, 28, 28], int).

    It is torchvision's own `MNIST`, after a check that its files are whole. The default root
    is the folder beside this file where the working directory has no MNIST in `./data`.
    Raises RuntimeError if the files are missing or damaged and can't be made anew.
    """
    root = mnist_files.find_root(root)
    mnist_files.ensure_intact(root, download)
    return datasets.MNIST(root, train, transform)


class MNISTLoader(DataLoader):
    """A DataLoader that assembles batches of MNIST by indexing, without Python per image.

    A plain DataLoader makes of each image a PIL picture and of that a tensor, again in
    every epoch: more than half of the time of a training step. The data set holds all images
    as one uint8 tensor, so here a batch is its rows, divided by 255 as `ToTensor` does. Batches
    and shuffling are the plain DataLoader's, bit for bit. A data set that does more to an
    image than `ToTensor` is left to the plain DataLoader.
    """

    def __iter__(self):
        if not _yields_images_as_stored(self.dataset):
            return super().__iter__()
        # A plain DataLoader draws a seed for its worker processes at this point. Drawing one
        # too keeps the stream of random numbers, and so the shuffling, the same.
        torch.empty((), dtype=torch.int64).random_()
        return self._iterate_batches()

    def _iterate_batches(self):
        # A few batches at once: one indexing operation serves them all, and they fit the cache.
        block_size = self.batch_size * max(1, IMAGES_AT_ONCE // self.batch_size)
        order = torch.tensor(list(self.sampler))
        for indices in order.split(block_size):
            images = self.dataset.data.index_select(0, indices).div(255).unsqueeze(1)
            labels = self.dataset.targets.index_select(0, indices)
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
    )


def get_loader(dataset, batch_size=BATCH_SIZE, shuffle=True):
    """Return a DataLoader over any map-style data set; it shuffles anew for every epoch.

    Raises ValueError if the batch size is not a positive integer.
    """
    return MNISTLoader(dataset, batch_size=batch_size, shuffle=shuffle)


def get_train_loader(*, root="./data", batch_size=BATCH_SIZE):
    """Return shuffled training batches, by default 6,000 of 10 images and labels.

    A batch is (images float32 [N, 1, 28, 28], labels int64 [N]).
    """
    return get_loader(get_dataset(root, train=True), batch_size, shuffle=True)


def get_test_loader(*, root="./data", batch_size=BATCH_SIZE):
    """Return test batches in file order, by default 1,000 of 10 images and labels."""
    return get_loader(get_dataset(root, train=False), batch_size, shuffle=False)


def train_network(data_loader, model, num_epochs, optimizer, reshape_input, calc_loss):
    """Fit the model by mini-batch gradient descent, printing the loss at every 100th step.

    `reshape_input(images)` gives the model's input, `calc_loss(outputs, expected_outputs)`
    the scalar loss. Batches go to the device that the model is on. Raises ValueError if
    `num_epochs` is not a positive integer, RuntimeError if a printed loss is NaN or infinite.
    """
    if operator.index(num_epochs) < 1:
        raise ValueError(f"the number of epochs must be at least 1, not {num_epochs}")

    device = _get_device(model)
    num_steps = len(data_loader)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    model.train()
    for epoch in range(1, num_epochs + 1):
        for step, (images, expected_outputs) in enumerate(data_loader, start=1):
            outputs = model(reshape_input(images.to(device)))
            loss = calc_loss(outputs, expected_outputs.to(device))

            # optimizer.zero_grad(), without the profiling around it that takes longer than a layer
            for parameter in parameters:
                parameter.grad = None
            loss.backward()
            optimizer.step()

            if step % 100 == 0 or step == num_steps:
                progress = f"Epoch [{epoch}/{num_epochs}], Step [{step}/{num_steps}]"
                _print_progress(progress, loss.item())


def _print_progress(progress, loss):
    if not math.isfinite(loss):
        raise RuntimeError(
            f"{progress}: the loss is {loss}, training on would be in vain; "
            "try a lower learning rate, and check the input for NaN and infinity"
        )
    print(f"{progress}, Loss: {loss:.4f}", flush=True)


@torch.no_grad()
def test_network(data_loader, model, reshape):
    """Print and return (as a float) the fraction of images whose digit the model predicts.

    The predicted digit is the index of the largest of the model's outputs. `reshape(images)`
    gives the model's input. Batches go to the device that the model is on.
    """
    device = _get_device(model)
    model.eval()
    num_correct = num_images = 0
    for images, expected_outputs in data_loader:
        predictions = model(reshape(images.to(device))).argmax(dim=1)
        num_correct += (predictions == expected_outputs.to(device)).sum()
        num_images += len(images)

    fraction = int(num_correct) / num_images
    print(f"Test data results: {fraction}", flush=True)
    return fraction


def _get_device(model):
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def expand_expected_output(tensor_of_expected_outputs, output_size):
    """One-hot expand labels: int64 [N] to float32 [N, output_size], on the labels' device.

    Raises TypeError if the labels are not integers, ValueError if they are not one row of
    labels or one of them lies outside 0 to output_size - 1.
    """
    labels = tensor_of_expected_outputs
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise TypeError(f"labels must be integers, not {labels.dtype}; convert with .long()")
    if labels.dim() != 1:
        raise ValueError(f"labels must have shape [N], not {list(labels.shape)}")

    try:
        return _identity_matrix(output_size, labels.device).index_select(0, labels.long())
    except IndexError:  # index_select checks as it goes, at no extra cost
        raise ValueError(
            f"labels must lie in 0 to {output_size - 1}, not in {labels.min()} to {labels.max()}"
        ) from None


@functools.cache
def _identity_matrix(size, device):
    # Its row k is label k, one-hot expanded.
    return torch.eye(size, dtype=torch.float32, device=device)


def expand_single_output(expected_output, output_size):
    """One-hot expand one label: a list of output_size floats, with a single 1.0 at its index.

    Raises TypeError if the label is not an integer, ValueError if it is out of range.
    """
    label = operator.index(expected_output)
    if not 0 <= label < output_size:
        raise ValueError(f"the label must lie in 0 to {output_size - 1}, not {label}")
    return [1.0 if digit == label else 0.0 for digit in range(output_size)]
