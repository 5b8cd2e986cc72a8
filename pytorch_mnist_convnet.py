"""Recognise handwritten digits with convolutional networks, in four designs.

The designs follow chapter 6 of Michael Nielsen's "Neural Networks and Deep Learning". They
see each image as a picture, not as a row of pixels: a convolution looks for small features
everywhere in it, and max-pooling keeps where they are found, at half the resolution. They
end in ten plain linear outputs; the softmax is part of the loss, `nn.CrossEntropyLoss`.
"""

import training  # noqa: F401 # isort: skip (not part of the lesson: it makes Ctrl-C one line)

import argparse
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

import common
from pytorch_mnist import OUTPUT_SIZE
from training import command_line
from training.run import Run, Settings

NUM_THREADS = 2  # a convolution is large enough to be shared out


class ConvNetSimple(nn.Module):
    """One convolution, 20 features of 5x5: float32 [N, 1, 28, 28] to [N, 10]."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 20, kernel_size=5)  # 28x28 to 24x24
        self.pool = nn.MaxPool2d(2)  # to 12x12
        self.hidden_layer = nn.Linear(20 * 12 * 12, 100)
        self.output_layer = nn.Linear(100, OUTPUT_SIZE)

    def forward(self, x):
        x = self.pool(torch.sigmoid(self.conv(x)))
        x = torch.sigmoid(self.hidden_layer(x.flatten(start_dim=1)))
        return self.output_layer(x)


class ConvNetTwoConv(nn.Module):
    """Two convolutions, 20 and 40 features: float32 [N, 1, 28, 28] to [N, 10]."""

    activation = staticmethod(torch.sigmoid)  # static, so that it isn't given `self`

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, kernel_size=5)  # 28x28 to 24x24
        self.conv2 = nn.Conv2d(20, 40, kernel_size=5)  # 12x12 to 8x8
        self.pool = nn.MaxPool2d(2)  # to 12x12, and to 4x4
        self.hidden_layer = nn.Linear(40 * 4 * 4, 100)
        self.output_layer = nn.Linear(100, OUTPUT_SIZE)

    def forward(self, x):
        x = self.pool(self.activation(self.conv1(x)))
        x = self.pool(self.activation(self.conv2(x)))
        x = self.activation(self.hidden_layer(x.flatten(start_dim=1)))
        return self.output_layer(x)


class ConvNetTwoConvRelu(ConvNetTwoConv):
    """The same with rectified linear units in place of sigmoids."""

    activation = staticmethod(torch.relu)


class ConvNetFinal(nn.Module):
    """Two convolutions, two hidden layers of 1,000: float32 [N, 1, 28, 28] to [N, 10].

    Each dense layer has dropout on its inputs: in training, each input is set to 0 with
    probability 1/2, drawn anew for each image, so that no neuron depends on a few inputs (the
    others are doubled, which keeps the mean); in testing, it does nothing.
    """

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, kernel_size=5)
        self.conv2 = nn.Conv2d(20, 40, kernel_size=5)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(0.5)
        self.hidden_layer1 = nn.Linear(40 * 4 * 4, 1000)
        self.hidden_layer2 = nn.Linear(1000, 1000)
        self.output_layer = nn.Linear(1000, OUTPUT_SIZE)

    def forward(self, x):
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x))).flatten(start_dim=1)
        x = torch.relu(self.hidden_layer1(self.dropout(x)))
        x = torch.relu(self.hidden_layer2(self.dropout(x)))
        return self.output_layer(self.dropout(x))


class Design(NamedTuple):
    """A network and the settings of its experiment, those of the article's repository."""

    network: type[nn.Module]
    epochs: int
    lr: float
    weight_decay: float = 0.0
    extend_data: bool = False


DESIGNS = {
    "simple": Design(ConvNetSimple, epochs=60, lr=0.1),
    "2conv": Design(ConvNetTwoConv, epochs=60, lr=0.1),
    "relu": Design(ConvNetTwoConvRelu, epochs=60, lr=0.03, weight_decay=0.00005),
    "final": Design(ConvNetFinal, epochs=40, lr=0.005, extend_data=True),
}


def identity(images):
    """Return the images [N, 1, 28, 28] as they are: a convolution needs no rows."""
    return images


@dataclass(frozen=True)
class ConvNetSettings(Settings):
    """The settings of a training, and the weight decay of its optimizer."""

    weight_decay: float = 0.0
    threads: int = NUM_THREADS


def run_network(net, **settings):
    """Train `net` in place, on the device where it is, and test it; return the test result.

    The settings are those of `ConvNetSettings`, `epochs` and `lr` needed. Raises RefusedError as
    `pytorch_mnist.run_network` does.
    """
    settings = ConvNetSettings(**settings)
    net.to(memory_format=torch.channels_last)  # a third less time on the CPU
    sgd = torch.optim.SGD(net.parameters(), lr=settings.lr, weight_decay=settings.weight_decay)
    calc_loss = nn.CrossEntropyLoss()

    with Run(net, sgd, calc_loss, identity, settings) as run:
        common.train_network(
            run.train_loader, net, settings.epochs, sgd, identity, calc_loss,
            epochs=run.epochs, report=run.report,
        )  # fmt: skip
        print()
        return run.test()


def create_parser():
    """Return the parser of this script's flags; `--net` sets the other flags' defaults."""
    # `--net` is read first, as the other flags' defaults depend on it.
    net_parser = command_line.OneLineParser(add_help=False)
    net_parser.add_argument("--net", choices=DESIGNS, default="simple", help="the design")
    design = DESIGNS[net_parser.parse_known_args()[0].net]
    parser = command_line.create_parser(
        "Train and test a convolutional network on MNIST. Each design has its own defaults.",
        epochs=design.epochs,
        lr=design.lr,
        threads=NUM_THREADS,
        parents=[net_parser],
    )
    parser.add_argument(
        "--weight-decay",
        "--wd",
        type=command_line.non_negative_float,
        default=design.weight_decay,
        metavar="RATE",
        help="L2 penalty on the weights",
    )
    parser.add_argument(
        "--extend-data",
        "--extend_data",
        action=argparse.BooleanOptionalAction,
        default=design.extend_data,
        help="train on each image's shifts by a pixel, too",
    )
    return parser


if __name__ == "__main__":
    device, settings = command_line.start(create_parser())
    network = DESIGNS[settings.pop("net")].network().to(device)
    run_network(network, **settings)
