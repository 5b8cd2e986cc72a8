"""What the experiments share: the MNIST loaders, the train and test loops, one-hot expansion.

Data flows one way: a data set is read from its files, a DataLoader yields batches of images and
labels, `train_network` fits a model to them, `test_network` counts how many digits it then
gets right. A script defines its network and its settings and calls these functions; this module
needs nothing but torch and torchvision.
"""

import functools
import gzip
import hashlib
import math
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn.functional import one_hot
from torch.utils.data import DataLoader, default_collate
from torchvision import datasets, transforms

BATCH_SIZE = 10
DEFAULT_ROOT = "./data"

# Pixels become float32, from 0.0 (black) to 1.0 (white).
transformations = transforms.Compose([transforms.ToTensor()])

# ToTensor, then (x - 0.1305) / 0.3081, about the training pixels' mean and standard deviation:
# how the latest version of the article's companion repository prepares its inputs.
normalized_transformations = transforms.Compose(
    [transforms.ToTensor(), transforms.Normalize((0.1305,), (0.3081,))]
)


def get_transform(normalize):
    """Return how images are prepared: `normalized_transformations`, or `transformations`."""
    return normalized_transformations if normalize else transformations


class RefusedError(ValueError):
    """What this project refuses: what is wrong, and what to do. Scripts print it as one line."""


class InMemory:
    """Put before a class of torchvision's, such as MNIST, it gives whole batches, which is faster.

    PyTorch's DataLoader asks a data set that has `__getitems__` for a batch at a time, and hands
    what it gets to its `collate_fn`. A `.gz` is read without unpacking it, so nothing is written
    into the folder. `class KMNIST(InMemory, datasets.KMNIST): pass` is all it takes for KMNIST,
    whose files have the same names.
    """

    # A tensor: by a plain number, CUDA multiplies with its reciprocal, which rounds differently.
    white = torch.tensor(255.0)

    def __getitems__(self, indices):
        """Return the items of these indices: a `Batch`, or a list if each is made singly."""
        # Only `ToTensor` and `Normalize`, of uint8 images, can be done for a whole batch at once.
        compose = type(self.transform) is transforms.Compose
        steps = self.transform.transforms if compose else [self.transform]
        if (
            type(self).__getitem__ is not datasets.MNIST.__getitem__
            or not steps
            or type(steps[0]) is not transforms.ToTensor
            or any(type(step) is not transforms.Normalize for step in steps[1:])
            or self.target_transform is not None
            or not torch.is_tensor(self.data)
            or self.data.dtype != torch.uint8
            or not torch.is_tensor(self.targets)
            or self.targets.dim() != 1
        ):
            return [self[index] for index in indices]

        indices = [index + len(self) if index < 0 else index for index in indices]
        indices = torch.tensor(indices, device=self.data.device)
        if indices.is_floating_point() or indices.dtype == torch.bool:  # fractions, or a mask
            raise IndexError(f"indices must be whole numbers, not {indices.dtype}")
        white = self.white.to(torch.get_default_dtype())
        images = self.data.index_select(0, indices).unsqueeze(1) / white
        for normalize in steps[1:]:
            images = normalize(images)
        return Batch(images, self.targets.index_select(0, indices).long())

    def to(self, device):
        """Move images and labels to a device, and so the batches; return the data set."""
        self.data, self.targets = self.data.to(device), self.targets.to(device)
        self.white = self.white.to(device)
        return self

    def download(self):
        try:
            super().download()
        except (RuntimeError, OSError) as error:
            raise RefusedError(
                f"there are no MNIST files in {self.raw_folder}, and downloading them failed "
                f"({error}); give the folder above MNIST/raw, or copy the .gz files there"
            ) from error

    def _check_exists(self):  # torchvision asks before a download
        return _has_files(self.raw_folder)

    def _load_data(self):
        folder, part = Path(self.raw_folder), "train" if self.train else "t10k"
        images = read_idx(folder / f"{part}-images-idx3-ubyte")
        labels = read_idx(folder / f"{part}-labels-idx1-ubyte")
        if labels.dim() != 1 or images.shape != (len(labels), 28, 28):
            raise RefusedError(
                f"{folder} has {part} images of the shape {list(images.shape)} and labels of the "
                f"shape {list(labels.shape)}; expected are [N, 28, 28] and [N]"
            )
        return images, labels.long()


class MNIST(InMemory, datasets.MNIST):
    """60,000 training or 10,000 test images of handwritten digits, with their labels."""


class FashionMNIST(InMemory, datasets.FashionMNIST):
    """As many images of clothes, of ten kinds, in the same format."""


class Batch(Sequence):
    """The items of a batch, whose images and labels are stacked already.

    `collate` takes them as they are; to any other `collate_fn` it is the usual list of items.
    """

    def __init__(self, images, labels):
        self.images, self.labels = images, labels

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return self.images[index], self.labels[index].item()


def collate(items):
    """Return a batch's images and labels, as PyTorch's `default_collate` does of single items."""
    return (items.images, items.labels) if isinstance(items, Batch) else default_collate(items)


def read_idx(file):
    """Return the numbers of an IDX file (uint8, of the file's shape), from its .gz if there is one.

    Raises RefusedError if it is missing or damaged. The format: two zero bytes, the numbers' type
    (8: uint8), how many dimensions there are, each one's size in four bytes, the numbers.
    """
    packed = file.with_name(f"{file.name}.gz")
    found = next((file for file in (packed, file) if file.is_file()), None)
    if found is None:
        raise RefusedError(f"{packed.name} is missing in {file.parent}: copy it there")
    try:
        content = found.read_bytes()
        content = bytearray(gzip.decompress(content) if found is packed else content)
        if content[:3] != b"\0\0\x08":
            raise ValueError("its header is not that of images or labels of one byte each")
        start = 4 + 4 * content[3]
        shape = [int.from_bytes(content[i : i + 4], "big") for i in range(4, start, 4)]
        return torch.frombuffer(content, dtype=torch.uint8, offset=start).view(shape)
    except (EOFError, IndexError, ValueError, RuntimeError, zlib.error, gzip.BadGzipFile) as error:
        raise RefusedError(
            f"{found} is damaged ({error}): copy it anew, or remove it and all others of its "
            "folder to have them downloaded"
        ) from error


def _has_files(raw_folder):
    return any(Path(raw_folder).glob("*-ubyte*"))


def get_dataset(root=DEFAULT_ROOT, train=True, transform=transformations, download=True):
    """Return MNIST's 60,000 training or 10,000 test items, each (float32 [1, 28, 28], int).

    The files are those in `root`'s `MNIST/raw`. The default root is `./data`, or the `data`
    folder beside this file if the working directory has no MNIST there. Only into a root that has
    none of the files does torchvision download them. Raises RefusedError if a file is missing or
    damaged; a line on stderr tells of other data than MNIST's own.
    """
    root = Path(root).expanduser()
    if root == Path(DEFAULT_ROOT) and not _has_files(root / "MNIST" / "raw"):
        root = Path(__file__).resolve().parent / "data"
    dataset = MNIST(root, train, transform, download=download)
    if name_data(dataset) != "MNIST":
        _say_once(f"{dataset.raw_folder} isn't canonical MNIST: it is read as it is")
    return dataset


# Of MNIST's training and test set: SHA-256 of images and labels, its first 16 digits.
MNIST_HASHES = ("d18cfd466eb143ac", "a0863a96c44e5666")


def name_data(dataset):
    """Return "MNIST" for its training or test set, else a hash of the images and labels."""
    digest = hashlib.sha256(dataset.data.cpu().numpy())
    digest.update(dataset.targets.cpu().numpy())
    name = digest.hexdigest()[:16]
    return "MNIST" if name in MNIST_HASHES else name


@functools.cache  # so that the same line is printed once
def _say_once(line):
    print(line, file=sys.stderr)


def extend_by_shifts(dataset):
    """Add to each image of an MNIST data set its four shifts by a pixel; return the data set.

    An image is followed by itself shifted left, right, up and down, the freed edge black:
    60,000 images become 300,000, still uint8.
    """
    images = dataset.data
    shifts = images.new_zeros(len(images), 5, *images.shape[1:])
    shifts[:, 0] = images
    shifts[:, 1, :, :-1] = images[:, :, 1:]
    shifts[:, 2, :, 1:] = images[:, :, :-1]
    shifts[:, 3, :-1] = images[:, 1:]
    shifts[:, 4, 1:] = images[:, :-1]
    dataset.data = shifts.flatten(end_dim=1)
    dataset.targets = dataset.targets.repeat_interleave(5)
    return dataset


def get_loader(dataset, batch_size=BATCH_SIZE, shuffle=True, **options):
    """Return PyTorch's DataLoader over any map-style data set; it re-shuffles for every epoch.

    `options` are those of `torch.utils.data.DataLoader`.
    """
    if batch_size is not None:  # None is PyTorch's for single items, which nothing collates
        options = {"collate_fn": collate, **options}
    return DataLoader(dataset, batch_size, shuffle, **options)


def get_train_loader(
    *,
    root=DEFAULT_ROOT,
    transform=transformations,
    batch_size=None,
    extend_data=False,
    device="cpu",
):
    """Return shuffled training batches, by default 6,000 of `BATCH_SIZE` images and labels.

    A batch is (images float32 [N, 1, 28, 28], labels int64 [N]), on the device. A `batch_size` of
    None is `BATCH_SIZE`. With `extend_data`, the data set also holds each image's shifts, see
    `extend_by_shifts`.
    """
    dataset = get_dataset(root, train=True, transform=transform)
    if extend_data:
        dataset = extend_by_shifts(dataset)
    return get_loader(dataset.to(device), BATCH_SIZE if batch_size is None else batch_size)


def get_test_loader(*, root=DEFAULT_ROOT, transform=transformations, batch_size=None, device="cpu"):
    """Return test batches in file order, by default 1,000 of `BATCH_SIZE` images and labels."""
    dataset = get_dataset(root, train=False, transform=transform).to(device)
    return get_loader(dataset, BATCH_SIZE if batch_size is None else batch_size, shuffle=False)


def print_progress(epoch, num_epochs, step, num_steps, loss):
    """Print where a training is, and its loss."""
    print(f"Epoch [{epoch}/{num_epochs}], Step [{step}/{num_steps}], Loss: {loss:.4f}", flush=True)


def train_network(
    data_loader,
    model,
    num_epochs,
    optimizer,
    reshape_input,
    calc_loss,
    *,
    epochs=None,
    report=print_progress,
):
    """Fit the model by mini-batch gradient descent, reporting the loss as it goes.

    `reshape_input(images)` gives the model's input, `calc_loss(outputs, expected_outputs)`
    the scalar loss. At every 100th step and at an epoch's last one, `report(epoch, num_epochs,
    step, num_steps, loss)` is called, the loss a float. Batches go to the device that the model is
    on. `epochs`, an iterable of epoch numbers, takes the place of 1 to `num_epochs`, which is then
    only reported: what has to happen between epochs (a learning-rate schedule, a test, early
    stopping) goes into a generator. Raises RefusedError if a reported loss is not finite.
    """
    device = get_device(model)
    num_steps = len(data_loader)
    if epochs is None:
        epochs = range(1, num_epochs + 1)
    for epoch in epochs:
        model.train()
        for step, (images, expected_outputs) in enumerate(data_loader, start=1):
            images, expected_outputs = images.to(device), expected_outputs.to(device)
            outputs = model(reshape_input(images))
            loss = calc_loss(outputs, expected_outputs)

            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

            if step % 100 == 0 or step == num_steps:
                report(epoch, num_epochs, step, num_steps, read_loss(loss))
                model.train()  # `report` may have tested it


def read_loss(loss):
    """Return a loss as a float. Raises RefusedError if it is not finite."""
    loss = loss.item()
    if not math.isfinite(loss):
        raise RefusedError(
            f"the loss is {loss}, so the training stops; try a lower learning rate, and check "
            "the input for NaN and infinity"
        )
    return loss


@torch.no_grad()
def test_network(data_loader, model, reshape):
    """Print and return (as a float) the fraction of images whose digit the model predicts.

    The predicted digit is the index of the largest of the model's outputs. `reshape(images)`
    gives the model's input. Batches go to the device that the model is on. Raises RefusedError
    if labels aren't [N], or outputs aren't [N, digits].
    """
    device = get_device(model)
    num_correct = num_images = 0
    model.eval()
    for images, expected_outputs in data_loader:
        images, expected_outputs = images.to(device), expected_outputs.to(device)
        outputs = model(reshape(images))
        if outputs.dim() != 2 or expected_outputs.shape != outputs.shape[:1]:
            raise RefusedError(
                f"outputs must be [N, digits] and labels [N], not {list(outputs.shape)} and "
                f"{list(expected_outputs.shape)}"
            )
        num_correct += (outputs.argmax(dim=1) == expected_outputs).sum()
        num_images += len(images)

    fraction = int(num_correct) / num_images
    print(f"Test data results: {fraction}", flush=True)
    return fraction


def get_device(model):
    """Return the device that the model's parameters are on."""
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def expand_expected_output(tensor_of_expected_outputs, output_size):
    """One-hot expand labels: int64 [N] to float32 [N, output_size], on the labels' device.

    Raises RefusedError for labels that aren't [N] or don't lie in 0 to output_size - 1, and what
    `torch.nn.functional.one_hot` raises for labels of another dtype.
    """
    labels = tensor_of_expected_outputs
    if labels.dim() != 1:
        raise RefusedError(f"labels must be [N], not {list(labels.shape)}")
    try:
        return one_hot(labels, output_size).float()
    except RuntimeError as error:
        wrong = labels[(labels < 0) | (labels >= output_size)].tolist()
        if not wrong or labels.dtype != torch.int64:
            raise
        raise RefusedError(
            f"there is a label {wrong[0]}, but the network has {output_size} outputs, for labels "
            f"from 0 to {output_size - 1}"
        ) from error


def expand_single_output(expected_output, output_size):
    """One-hot expand one label, an int: a list of output_size floats, a single 1.0 at its index."""
    return one_hot(torch.as_tensor(expected_output), output_size).float().tolist()
