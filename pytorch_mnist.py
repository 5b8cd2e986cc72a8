"""Recognise handwritten digits with a dense 784-100-10 network of sigmoid neurons.

The network of chapter 1 of Michael Nielsen's "Neural Networks and Deep Learning", in
PyTorch: each image is a row of 28 * 28 pixels, each digit a row of ten numbers, one of them
1 and the others 0. Gradient descent on the mean squared error, in batches of 10 images, reaches
about 98 % of the test images in 30 epochs.
"""

import functools

import torch
from torch import nn

import common
from common import expand_expected_output, expand_single_output  # noqa: F401 (for the REPL)
from mnist.files import DEFAULT_ROOT
from training import command_line
from training.run import start_run

INPUT_SIZE = 28 * 28
HIDDEN_SIZE = 100
OUTPUT_SIZE = 10
NUM_EPOCHS = 30
LEARNING_RATE = 3.0

# The name in the article's REPL example.
transform_expected_output = expand_expected_output


class Net(nn.Module):
    """784 pixels to 100 hidden to 10 output neurons: float32 [N, 784] to [N, 10]."""

    def __init__(self, hidden_size=HIDDEN_SIZE):
        super().__init__()
        self.hidden_layer = nn.Linear(INPUT_SIZE, hidden_size)
        self.output_layer = nn.Linear(hidden_size, OUTPUT_SIZE)

    def forward(self, x):
        x = torch.sigmoid(self.hidden_layer(x))
        return torch.sigmoid(self.output_layer(x))


# The article's REPL examples call these two functions to get the ones that they return.


def create_input_reshaper():
    """Return a function that flattens images [N, 1, 28, 28] to rows [N, 784].

    It raises RuntimeError for images that don't have 784 pixels each.
    """

    def reshape_input(images):
        return images.reshape(len(images), INPUT_SIZE)

    return reshape_input


def create_loss_function(loss_function):
    """Return calc_loss(outputs, expected_outputs): `loss_function` of outputs and one-hot labels.

    Outputs are float32 [N, 10], expected outputs int64 [N]; the loss is a scalar.
    """

    def calc_loss(outputs, expected_outputs):
        return loss_function(outputs, expand_expected_output(expected_outputs, OUTPUT_SIZE))

    return calc_loss


def run_network(
    net,
    *,
    epochs=None,
    lr=None,
    batch_size=None,
    normalize=False,
    data_root=DEFAULT_ROOT,
    compile=False,
    train_network=common.train_network,
    **options,
):
    """Train `net` in place, on the device where it is, and test it; return the test result.

    Epochs, learning rate and batch size are the constants above and `common.BATCH_SIZE` unless
    they are given; `options` are those of `training.run.start_run`. The seed is the caller's:
    `torch.manual_seed` before the net is created. Raises ValueError for settings out of range,
    RuntimeError or OSError for data that can't be read, a loss that is not finite, or a file
    that can't be written.
    """
    num_epochs = NUM_EPOCHS if epochs is None else epochs
    lr = LEARNING_RATE if lr is None else lr
    if compile:
        from training import compiled

        if train_network is not common.train_network:
            raise ValueError("compile=True trains by autograd: give no other train_network")
        train_network = compiled.train_network

    data = {
        "root": data_root,
        "transform": common.get_transform(normalize),
        "batch_size": batch_size,
        "device": common.get_device(net),
    }
    train_loader = common.get_train_loader(**data)
    test_loader = common.get_test_loader(**data)
    reshape_input = create_input_reshaper()
    calc_loss = create_loss_function(nn.MSELoss())
    sgd = torch.optim.SGD(net.parameters(), lr=lr)
    test = functools.partial(common.test_network, test_loader, net, reshape_input)

    # The article's few lines; around them, `start_run` sees to checkpoints, logs and the like.
    options |= {"compile": compile}
    with start_run(net, sgd, train_loader, num_epochs, test, **options) as epochs_left:
        train_network(
            train_loader, net, num_epochs, sgd, reshape_input, calc_loss, epochs=epochs_left
        )
        print()
        return test()


def main():
    parser = command_line.create_parser(
        "Train and test the dense 784-100-10 network on MNIST, as the article does.",
        epochs=NUM_EPOCHS,
        lr=LEARNING_RATE,
    )
    command_line.add_hidden_size_flag(parser, HIDDEN_SIZE)
    command_line.add_compile_flag(parser)
    device, settings = command_line.start(parser)
    network = Net(settings.pop("hidden_size")).to(device)
    run_network(network, **settings)
    return network


if __name__ == "__main__":
    network = command_line.run(main)
