"""Recognise handwritten digits with a dense 784-100-10 network of sigmoid neurons.

The network of chapter 1 of Michael Nielsen's "Neural Networks and Deep Learning", in
PyTorch: each image is a row of 28 * 28 pixels, each digit a row of ten numbers, one of them
1 and the others 0. Gradient descent on the mean squared error, in batches of 10 images, reaches
about 98 % of the test images in 30 epochs.
"""

import training  # noqa: F401 # isort: skip (not part of the lesson: it makes Ctrl-C one line)

import torch
from torch import nn

import common
from common import expand_expected_output, expand_single_output  # noqa: F401 (for the REPL)
from training import command_line
from training.run import Run, Settings

INPUT_SIZE = 28 * 28
HIDDEN_SIZE = 100
OUTPUT_SIZE = 10
NUM_EPOCHS = 30
LEARNING_RATE = 3.0

# The name in the article's REPL example.
transform_expected_output = expand_expected_output


class Net(nn.Module):
    """784 pixels to `hidden_size` to 10 outputs, two layers of sigmoid neurons.

    It takes rows [N, 784], or images [N, 1, 28, 28]; it returns float32 [N, 10].
    """

    def __init__(self, hidden_size=HIDDEN_SIZE):
        super().__init__()
        self.hidden_size = hidden_size
        self.hidden_layer = nn.Linear(INPUT_SIZE, hidden_size)
        self.output_layer = nn.Linear(hidden_size, OUTPUT_SIZE)

    def forward(self, x):
        x = torch.sigmoid(self.hidden_layer(x.flatten(start_dim=1)))
        return torch.sigmoid(self.output_layer(x))


# The article flattens images outside of the network. `Net` flattens, too, so that it also takes
# images; rows stay as they are. Both functions below return a function, as the article's do.


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


def run_network(net, *, train_network=common.train_network, **settings):
    """Train `net` in place, on the device where it is, and test it; return the test result.

    `settings` are fields of `training.run.Settings`, such as `log="losses.csv"`; epochs and
    learning rate are the constants above unless they are given. `train_network` is the training
    loop: `backprop_manual_mnist.py` gives its own. To repeat a run, call `torch.manual_seed` before
    the net is created. Raises RefusedError for data or files that can't be used, and for a loss
    that is not finite.
    """
    settings = Settings(**{"epochs": NUM_EPOCHS, "lr": LEARNING_RATE, **settings})
    sgd = torch.optim.SGD(net.parameters(), lr=settings.lr)
    loss_function = nn.MSELoss()
    calc_loss = create_loss_function(loss_function)
    reshape_input = create_input_reshaper()

    # `run.train_loader` is from `common.get_train_loader`, `run.test` calls `common.test_network`.
    # The rest of `Run` is the work of the flags: checkpoint, log, saved network.
    # `settings.epochs` is what is printed; `run.epochs` is gone through: a resumed training begins
    # later, and between epochs there are tests, and the checkpoint is written.
    with Run(net, sgd, loss_function, reshape_input, settings) as run:
        train_network(
            run.train_loader, net, settings.epochs, sgd, reshape_input, calc_loss,
            epochs=run.epochs, report=run.report,
        )  # fmt: skip
        print()
        return run.test()


if __name__ == "__main__":
    parser = command_line.create_parser(
        "Train and test the dense 784-100-10 network on MNIST, as the article does.",
        epochs=NUM_EPOCHS,
        lr=LEARNING_RATE,
    )
    command_line.add_hidden_size_flag(parser, HIDDEN_SIZE)
    device, settings = command_line.start(parser)
    network = Net(settings.pop("hidden_size")).to(device)
    run_network(network, **settings)
