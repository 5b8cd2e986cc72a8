"""What the experiments share: the MNIST loaders, the train and test loops, one-hot expansion.

Data flows one way: a loader yields batches of images and labels, `train_network` fits a
model to them, `test_network` counts how many digits it then gets right. A script defines
its network and its settings and calls these functions; this module imports no script.
"""

import math
import operator

import torch
from torch.nn.functional import one_hot
from torchvision import datasets, transforms

from files.models import load_network  # noqa: F401 (for the REPL)
from mnist import files as mnist_files
from mnist.images import extend_by_shifts
from mnist.loader import MNISTLoader

BATCH_SIZE = 10

# Pixels become float32, from 0.0 (black) to 1.0 (white).
transformations = transforms.Compose([transforms.ToTensor()])

# The same, less (about) the training pixels' mean, and divided by their standard deviation: how the
# latest version of the article's companion repository prepares its inputs.
normalized_transformations = transforms.Compose(
    [transforms.ToTensor(), transforms.Normalize((0.1305,), (0.3081,))]
)


def get_transform(normalize):
    """Return how images are prepared: `normalized_transformations`, or `transformations`."""
    return normalized_transformations if normalize else transformations


def get_dataset(
    root=mnist_files.DEFAULT_ROOT, train=True, transform=transformations, download=True
):
    """Return MNIST's 60,000 training or 10,000 test items, each (float32 [1, 28, 28], int).

    It is torchvision's own `MNIST`, after a check that its files are complete. The default root
    is `./data`, or the `data` folder beside this file if the working directory has no MNIST there.
    What becomes of other data than MNIST's, and what is raised: see `mnist_files.prepare`.
    """
    root = mnist_files.prepare(mnist_files.find_root(root), download)
    return datasets.MNIST(root, train, transform)


def get_loader(dataset, batch_size=BATCH_SIZE, shuffle=True, **options):
    """Return a DataLoader over any map-style data set; it re-shuffles for every epoch.

    `options` are a `device` to assemble MNIST's batches on, and those of
    `torch.utils.data.DataLoader`.
    """
    return MNISTLoader(dataset, batch_size=batch_size, shuffle=shuffle, **options)


def get_train_loader(
    *,
    root=mnist_files.DEFAULT_ROOT,
    transform=transformations,
    batch_size=None,
    extend_data=False,
    device="cpu",
):
    """Return shuffled training batches, by default 6,000 of `BATCH_SIZE` images and labels.

    A batch is (images float32 [N, 1, 28, 28], labels int64 [N]), on the device. With
    `extend_data`, the data set also holds each image shifted by a pixel in four directions.
    """
    dataset = get_dataset(root, train=True, transform=transform)
    if extend_data:
        dataset = extend_by_shifts(dataset)
    batch_size = BATCH_SIZE if batch_size is None else batch_size
    return get_loader(dataset, batch_size, device=device)


def get_test_loader(
    *, root=mnist_files.DEFAULT_ROOT, transform=transformations, batch_size=None, device="cpu"
):
    """Return test batches in file order, by default 1,000 of `BATCH_SIZE` images and labels."""
    dataset = get_dataset(root, train=False, transform=transform)
    batch_size = BATCH_SIZE if batch_size is None else batch_size
    return get_loader(dataset, batch_size, shuffle=False, device=device)


def train_network(
    data_loader, model, num_epochs, optimizer, reshape_input, calc_loss, *, epochs=None
):
    """Fit the model by mini-batch gradient descent, printing the loss as it goes.

    `reshape_input(images)` gives the model's input, `calc_loss(outputs, expected_outputs)`
    the scalar loss, which is printed at every 100th step and at an epoch's last one. Batches go
    to the device that the model is on. `epochs`, an iterable of epoch numbers, replaces the
    plain 1 to `num_epochs`: what has to happen between epochs (a learning-rate schedule, a test,
    early stopping) goes into a generator of them. Raises RuntimeError if a printed loss is not
    finite.
    """
    device = get_device(model)
    num_steps = len(data_loader)
    for epoch in range(1, num_epochs + 1) if epochs is None else epochs:
        model.train()
        for step, (images, expected_outputs) in enumerate(data_loader, start=1):
            images, expected_outputs = images.to(device), expected_outputs.to(device)
            outputs = model(reshape_input(images))
            loss = calc_loss(outputs, expected_outputs)

            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

            if step % 100 == 0 or step == num_steps:
                print_progress(epoch, num_epochs, step, num_steps, loss.item())


def print_progress(epoch, num_epochs, step, num_steps, loss):
    """Print where a training is and its loss, a float. Raises RuntimeError if it is not finite."""
    progress = f"Epoch [{epoch}/{num_epochs}], Step [{step}/{num_steps}]"
    if not math.isfinite(loss):
        raise RuntimeError(
            f"{progress}: the loss is {loss}, so the training stops; try a lower learning rate, "
            "and check the input for NaN and infinity"
        )
    print(f"{progress}, Loss: {loss:.4f}", flush=True)


@torch.no_grad()
def test_network(data_loader, model, reshape):
    """Print and return (as a float) the fraction of images whose digit the model predicts.

    The predicted digit is the index of the largest of the model's outputs. `reshape(images)`
    gives the model's input. Batches go to the device that the model is on. Raises ValueError
    if the loader has no batches.
    """
    device = get_device(model)
    num_correct = num_images = 0
    model.eval()
    for images, expected_outputs in data_loader:
        images, expected_outputs = images.to(device), expected_outputs.to(device)
        predictions = model(reshape(images)).argmax(dim=1)
        num_correct += (predictions == expected_outputs).sum()
        num_images += len(images)

    if num_images == 0:
        raise ValueError("the data loader has no images to test the network on")
    fraction = int(num_correct) / num_images
    print(f"Test data results: {fraction}", flush=True)
    return fraction


def get_device(model):
    """Return the device that the model's parameters are on."""
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def expand_expected_output(tensor_of_expected_outputs, output_size):
    """One-hot expand labels: int64 [N] to float32 [N, output_size], on the labels' device.

    Raises what `torch.nn.functional.one_hot` raises for labels of another dtype or outside 0 to
    output_size - 1.
    """
    return one_hot(tensor_of_expected_outputs, output_size).float()


def expand_single_output(expected_output, output_size):
    """One-hot expand one label: a list of output_size floats, with a single 1.0 at its index.

    Raises TypeError if the label is not an integer, ValueError if it is out of range.
    """
    label = operator.index(expected_output)
    if not 0 <= label < output_size:
        raise ValueError(f"the label must lie in 0 to {output_size - 1}, not {label}")
    return [1.0 if digit == label else 0.0 for digit in range(output_size)]
