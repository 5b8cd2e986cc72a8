"""Recognise handwritten digits with a dense 784-100-10 network of sigmoid neurons.

The network of chapter 1 of Michael Nielsen's "Neural Networks and Deep Learning", in
PyTorch: each image is a row of 28 * 28 pixels, each digit a row of ten numbers of which one
is 1. Gradient descent on the mean squared error, in batches of 10 images, reaches about 98 %
of the test images in 30 epochs.
"""

import torch
from torch import nn

import common
from common import expand_expected_output, expand_single_output  # noqa: F401 (for the REPL)
from training import command_line, run

INPUT_SIZE = 28 * 28
HIDDEN_SIZE = 100
OUTPUT_SIZE = 10
NUM_EPOCHS = 30
LEARNING_RATE = 3.0

# The name in the article's REPL example.
transform_expected_output = expand_expected_output


class Net(nn.Module):
    """784 pixels to 100 hidden to 10 output neurons: float32 [N, 784] to [N, 10]."""

    def __init__(self):
        super().__init__()
        self.hidden_layer = nn.Linear(INPUT_SIZE, HIDDEN_SIZE)
        self.output_layer = nn.Linear(HIDDEN_SIZE, OUTPUT_SIZE)

    def forward(self, x):
        x = torch.sigmoid(self.hidden_layer(x))
        return torch.sigmoid(self.output_layer(x))


def create_input_reshaper():
    """Return a function that flattens images [N, 1, 28, 28] to rows [N, 784].

    It raises ValueError for images that don't have 784 pixels each.
    """

    def reshape_input(images):
        try:
            return images.reshape(len(images), INPUT_SIZE)
        except (RuntimeError, TypeError):
            raise ValueError(
                f"images of shape {list(images.shape)} don't have {INPUT_SIZE} pixels each; "
                "expected [N, 1, 28, 28]"
            ) from None

    return reshape_input


def create_loss_function(loss_function):
    """Return calc_loss(outputs, expected_outputs): `loss_function` of outputs and one-hot labels.

    Outputs are float32 [N, 10], expected outputs int64 [N]; the loss is a scalar.
    """

    def calc_loss(outputs, expected_outputs):
        return loss_function(outputs, expand_expected_output(expected_outputs, OUTPUT_SIZE))

    return calc_loss


def run_network(net, *, epochs=NUM_EPOCHS, lr=LEARNING_RATE, compile=False, **settings):
    """Train `net` in place, on the device where it is, and test it; return the test result.

    The starting weights and, with `torch.manual_seed`, the seed are the caller's. Further
    settings are those of `run.train_and_test`: batch_size, threads, data_root,
    save_model, checkpoint, test_each_epoch.
    Raises ValueError for epochs, learning rate or batch size that are not positive,
    RuntimeError or OSError for data that can't be read, a loss that is not finite, or a file
    that can't be written.
    """
    check_learning_rate(lr)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    reshape_input = create_input_reshaper()
    calc_loss = create_loss_function(nn.MSELoss())

    def train(train_loader, **course):
        common.train_network(
            train_loader,
            net,
            epochs,
            optimizer,
            reshape_input,
            calc_loss,
            compile=compile,
            **course,
        )

    return run.train_and_test(
        net,
        train,
        reshape_input,
        optimizer=optimizer,
        resume_only_with={"lr": lr, "backprop": "compiled" if compile else "autograd"},
        **settings,
    )


def check_learning_rate(lr):
    if not 0 < lr < float("inf"):
        raise ValueError(f"the learning rate must be above 0 and finite, not {lr}")


def main():
    parser = command_line.create_parser(
        "Train and test the dense 784-100-10 network on MNIST, as the article does.",
        epochs=NUM_EPOCHS,
        lr=LEARNING_RATE,
    )
    command_line.add_compile_flag(parser)
    device, settings = command_line.start(parser)
    run_network(Net().to(device), **settings)


if __name__ == "__main__":
    command_line.run(main)
