"""What the experiments share: the MNIST loaders, the train and test loops, one-hot expansion.

Data flows one way: a loader yields batches of images and labels, `train_network` fits a
model to them, `test_network` counts how many digits it then gets right. A script defines
its network and its settings and calls these functions; this module imports no script.
"""

import functools
import math
import operator

import torch
from torchvision import datasets, transforms

from files.models import load_network  # noqa: F401 (offered here, too)
from mnist import files as mnist_files
from mnist.loader import MNISTLoader, iterate_on

BATCH_SIZE = 10

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


def keep_first(dataset, num_images):
    """Cut an MNIST data set down to its first images; return the data set."""
    dataset.data = dataset.data[:num_images]
    dataset.targets = dataset.targets[:num_images]
    return dataset


def get_loader(dataset, batch_size=BATCH_SIZE, shuffle=True):
    """Return a DataLoader over any map-style data set; it shuffles anew for every epoch.

    Raises ValueError if the batch size is not a positive integer.
    """
    if batch_size is None:
        raise ValueError("batch_size should be a positive integer value, but got batch_size=None")
    return MNISTLoader(dataset, batch_size, shuffle)


def get_train_loader(*, root="./data", batch_size=BATCH_SIZE, extend_data=False):
    """Return shuffled training batches, by default 6,000 of 10 images and labels.

    A batch is (images float32 [N, 1, 28, 28], labels int64 [N]). With `extend_data`, each
    image comes in its four shifts by a pixel, too.
    """
    dataset = get_dataset(root, train=True)
    return get_loader(extend_by_shifts(dataset) if extend_data else dataset, batch_size)


def get_test_loader(*, root="./data", batch_size=BATCH_SIZE):
    """Return test batches in file order, by default 1,000 of 10 images and labels."""
    return get_loader(get_dataset(root, train=False), batch_size, shuffle=False)


def train_network(
    data_loader,
    model,
    num_epochs,
    optimizer,
    reshape_input,
    calc_loss,
    *,
    compile=False,
    first_epoch=1,
    after_epoch=None,
):
    """Fit the model by mini-batch gradient descent, printing the loss at every 100th step.

    `reshape_input(images)` gives the model's input, `calc_loss(outputs, expected_outputs)`
    the scalar loss. Batches go to the device that the model is on. With `compile`, ten steps
    at a time run as one function made by `torch.compile`. For `first_epoch`, `after_epoch`
    and what is raised, see `run_epochs`.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def take_steps(batches):
        model.train()
        for images, expected_outputs in batches:
            outputs = model(reshape_input(images))
            loss = calc_loss(outputs, expected_outputs)

            # optimizer.zero_grad(), without its profiling, which takes longer than a layer
            for parameter in parameters:
                parameter.grad = None
            loss.backward()
            optimizer.step()
            yield loss.item

    if compile:
        from training import compiled

        take_steps = compiled.compile_steps(
            model, optimizer, reshape_input, calc_loss, is_resumed=first_epoch > 1
        )

    run_epochs(
        data_loader,
        num_epochs,
        take_steps,
        get_device(model),
        first_epoch=first_epoch,
        after_epoch=after_epoch,
    )


def run_epochs(data_loader, num_epochs, take_steps, device, *, first_epoch=1, after_epoch=None):
    """Have `take_steps` go through each epoch's batches; print the loss at every 100th step.

    `take_steps(batches)` is a generator: for each batch, on `device`, it takes a step of
    training and yields a function that returns the step's loss as a float. Only printed
    losses are asked for, as the answer keeps an accelerator waiting. A resumed training
    starts at `first_epoch`; `after_epoch(epoch)` is called at the end of each. Raises
    ValueError if `num_epochs` is not positive, RuntimeError if a printed loss is not finite.
    """
    if operator.index(num_epochs) < 1:
        raise ValueError(f"the number of epochs must be at least 1, not {num_epochs}")

    num_steps = len(data_loader)
    for epoch in range(first_epoch, num_epochs + 1):
        batches = iterate_on(device, data_loader)
        for step, read_loss in enumerate(take_steps(batches), start=1):
            if step % 100 == 0 or step == num_steps:
                progress = f"Epoch [{epoch}/{num_epochs}], Step [{step}/{num_steps}]"
                _print_progress(progress, read_loss())
        if after_epoch is not None:
            after_epoch(epoch)


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
    model.eval()
    num_correct = num_images = 0
    for images, expected_outputs in iterate_on(get_device(model), data_loader):
        predictions = model(reshape(images)).argmax(dim=1)
        num_correct += (predictions == expected_outputs).sum()
        num_images += len(images)

    fraction = int(num_correct) / num_images
    print(f"Test data results: {fraction}", flush=True)
    return fraction


def get_device(model):
    """Return the device that the model's parameters are on."""
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def expand_expected_output(tensor_of_expected_outputs, output_size):
    """One-hot expand labels: int64 [N] to float32 [N, output_size], on the labels' device.

    Raises TypeError for labels of another dtype (but int32), ValueError for another shape,
    and for labels outside 0 to output_size - 1 (on CUDA, PyTorch's own error, and later).
    """
    labels = tensor_of_expected_outputs
    if labels.dim() != 1:
        raise ValueError(f"labels must have shape [N], not {list(labels.shape)}")
    try:
        return _identity_matrix(output_size, labels.device).index_select(0, labels)
    except (IndexError, RuntimeError):  # index_select checks as it goes, at no extra cost
        if labels.dtype not in (torch.int64, torch.int32):
            raise TypeError(f"labels must be int64, not {labels.dtype}; try .long()") from None
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
