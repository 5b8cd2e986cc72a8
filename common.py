"""What the experiments share: the MNIST loaders, the train and test loops, one-hot expansion.

Data flows one way: a loader yields batches of images and labels, `train_network` fits a
model to them, `test_network` counts how many digits it then gets right. A script defines
its network and its settings and calls these functions; this module imports no script.
"""

import contextlib
import functools
import math
import operator

import torch

import mnist_files
import model_files
from matched_torchvision import datasets, transforms
from mnist_loader import MNISTLoader, iterate_on

BATCH_SIZE = 10
NUM_THREADS = 1  # the fastest for steps as small as these; see benchmarks/speed.py

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


def train_network(
    data_loader, model, num_epochs, optimizer, reshape_input, calc_loss, *, compile=False
):
    """Fit the model by mini-batch gradient descent, printing the loss at every 100th step.

    `reshape_input(images)` gives the model's input, `calc_loss(outputs, expected_outputs)`
    the scalar loss. Batches go to the device that the model is on. With `compile`, ten steps
    at a time run as one function made by `torch.compile`. Raises what `run_epochs` raises.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]

    def take_steps(batches):
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
        import compiled_steps

        take_steps = compiled_steps.compile_steps(model, optimizer, reshape_input, calc_loss)

    model.train()
    run_epochs(data_loader, num_epochs, take_steps, get_device(model))


def run_epochs(data_loader, num_epochs, take_steps, device):
    """Have `take_steps` go through each epoch's batches; print the loss at every 100th step.

    `take_steps(batches)` is a generator: for each batch, on `device`, it takes a step of
    training and yields a function that returns the step's loss as a float. Only printed
    losses are asked for, as the answer keeps an accelerator waiting. Raises ValueError if
    `num_epochs` is not positive, RuntimeError if a printed loss is NaN or infinite.
    """
    if operator.index(num_epochs) < 1:
        raise ValueError(f"the number of epochs must be at least 1, not {num_epochs}")

    num_steps = len(data_loader)
    for epoch in range(1, num_epochs + 1):
        batches = iterate_on(device, data_loader)
        for step, read_loss in enumerate(take_steps(batches), start=1):
            if step % 100 == 0 or step == num_steps:
                progress = f"Epoch [{epoch}/{num_epochs}], Step [{step}/{num_steps}]"
                _print_progress(progress, read_loss())


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


def train_and_test(
    model,
    train,
    reshape_input,
    *,
    batch_size=BATCH_SIZE,
    threads=NUM_THREADS,
    data_root="./data",
    save_model=None,
):
    """Run an experiment: `train(train_loader)`, an empty line, the test; return its result.

    PyTorch computes on `threads` CPU threads meanwhile. With `save_model`, the trained
    weights are written to that file. Raises RuntimeError or OSError for data that can't be
    read or a file that can't be written, before the training.
    """
    if save_model is not None:
        model_files.check_writable(save_model)
    train_loader = get_train_loader(root=data_root, batch_size=batch_size)
    test_loader = get_test_loader(root=data_root)

    with use_threads(threads):
        train(train_loader)
        print()
        result = test_network(test_loader, model, reshape_input)

    if save_model is not None:
        model_files.save_model(model, save_model)
    return result


@contextlib.contextmanager
def use_threads(threads):
    """Have PyTorch compute on so many CPU threads within a `with` block."""
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads_before)


def expand_expected_output(tensor_of_expected_outputs, output_size):
    """One-hot expand labels: int64 [N] to float32 [N, output_size], on the labels' device.

    Raises TypeError for labels of another dtype (but int32), ValueError for another shape,
    and for labels outside 0 to output_size - 1.
    """
    labels = tensor_of_expected_outputs
    try:
        return _identity_matrix(output_size, labels.device).index_select(0, labels)
    except (IndexError, RuntimeError):  # index_select checks as it goes, at no extra cost
        if labels.dtype not in (torch.int64, torch.int32):
            raise TypeError(f"labels must be int64, not {labels.dtype}; try .long()") from None
        if labels.dim() != 1:
            raise ValueError(f"labels must have shape [N], not {list(labels.shape)}") from None
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
