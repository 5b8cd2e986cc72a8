"""One step of back-propagation by PyTorch's autograd, on a network of two neurons.

One input feeds one hidden neuron, which feeds one output neuron, both sigmoid. Symbols are
those of `backprop_manual_calculation.py`, which does the same by hand: w_l1 and b_l1 are
weight and bias of the hidden layer, a_l2 is the network's output. All tensors are float32:
inputs, outputs and biases [1], weights [1, 1].
"""

import torch
from torch import nn

A_L0 = 0.8  # the input
TARGET = 1.0  # the output that is wanted for it
STEP_SIZE = 0.1
INITIAL_PARAMETERS = {"w_l1": 1.58, "b_l1": -0.14, "w_l2": 2.45, "b_l2": -0.11}


class Net(nn.Module):
    """Two sigmoid neurons in a row, with the given weights and biases: float [1] to [1]."""

    def __init__(self, w_l1, b_l1, w_l2, b_l2):
        super().__init__()
        self.hidden_layer = nn.Linear(1, 1)
        self.output_layer = nn.Linear(1, 1)
        nn.init.constant_(self.hidden_layer.weight, w_l1)
        nn.init.constant_(self.hidden_layer.bias, b_l1)
        nn.init.constant_(self.output_layer.weight, w_l2)
        nn.init.constant_(self.output_layer.bias, b_l2)

    def forward(self, a_l0):
        a_l1 = torch.sigmoid(self.hidden_layer(a_l0))
        return torch.sigmoid(self.output_layer(a_l1))


def train_step(net, a_l0, target, step_size):
    """Change the net's parameters by one step of gradient descent on the squared error."""
    optimizer = torch.optim.SGD(net.parameters(), lr=step_size)
    loss = nn.MSELoss()(net(a_l0), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def print_values(net, a_l0, prefix=""):
    """Print the net's parameters and the output that it gives with them, to 4 decimals."""
    values = {
        "w_l1": net.hidden_layer.weight,
        "b_l1": net.hidden_layer.bias,
        "w_l2": net.output_layer.weight,
        "b_l2": net.output_layer.bias,
        "a_l2": net(a_l0),
    }
    for name, value in values.items():
        print(f"{prefix}{name} = {round(value.item(), 4)}")


def main():
    a_l0 = torch.tensor([A_L0])
    target = torch.tensor([TARGET])
    net = Net(**INITIAL_PARAMETERS)

    print(f"network topology: {net}")
    print_values(net, a_l0)
    train_step(net, a_l0, target, STEP_SIZE)
    print_values(net, a_l0, prefix="updated_")


if __name__ == "__main__":
    main()
