"""Train the dense 784-100-10 network by hand: back-propagation as products of matrices.

What `backprop_manual_calculation.py` does for two neurons, for the network, the batches and
the loss of `pytorch_mnist.py`, without autograd. Symbols are the book's (Nielsen, "Neural
Networks and Deep Learning", chapter 2). A batch of N images is a matrix of N rows, so

    z_l = a_(l-1) W_l^T + b_l      a_l = sigmoid(z_l)      a_l0: the images [N, 784]

and the loss is the mean of (a_l2 - y)**2 over the N rows and 10 columns. With delta_l =
dC/dz_l, one row for each image, the four equations of back-propagation are

    (BP1)  delta_l2 = 2/(10 N) (a_l2 - y) * sigmoid'(z_l2)
    (BP2)  delta_l1 = (delta_l2 W_l2) * sigmoid'(z_l1)
    (BP3)  dC/db_l = the sum of delta_l's rows
    (BP4)  dC/dW_l = delta_l^T a_(l-1)

where W_l1 is [100, 784], W_l2 is [10, 100], * is element by element, and sigmoid'(z) is
(1 - a) * a. The weights come out equal to autograd's to the last bit: this is what
`loss.backward()` and `optimizer.step()` compute, factor by factor in the same order.
"""

import training  # noqa: F401 # isort: skip (not part of the lesson: it makes Ctrl-C one line)

import torch
from torch.nn.functional import linear

import common
import pytorch_mnist
from pytorch_mnist import HIDDEN_SIZE, LEARNING_RATE, NUM_EPOCHS, OUTPUT_SIZE, Net
from training import command_line


def train_network(
    data_loader,
    net,
    num_epochs,
    optimizer,
    reshape_input,
    calc_loss,
    *,
    epochs=None,
    report=common.print_progress,
):
    """Fit `net`, a `pytorch_mnist.Net`, to the mean squared error as `common.train_network` does.

    Of the optimizer, only the learning rate is used, and `calc_loss` only for what is reported.
    """
    device = common.get_device(net)
    num_steps = len(data_loader)
    # The net's own weights: `detach` leaves autograd out, and shares their memory.
    w_l1, b_l1 = net.hidden_layer.weight.detach(), net.hidden_layer.bias.detach()
    w_l2, b_l2 = net.output_layer.weight.detach(), net.output_layer.bias.detach()

    if epochs is None:
        epochs = range(1, num_epochs + 1)
    for epoch in epochs:
        lr = optimizer.param_groups[0]["lr"]
        for step, (images, expected_outputs) in enumerate(data_loader, start=1):
            a_l0 = reshape_input(images.to(device))
            expected_outputs = expected_outputs.to(device)
            y = common.expand_expected_output(expected_outputs, OUTPUT_SIZE)

            # Feed forward: a_l = sigmoid(a_(l-1) W_l^T + b_l)
            a_l1 = torch.sigmoid(linear(a_l0, w_l1, b_l1))
            a_l2 = torch.sigmoid(linear(a_l1, w_l2, b_l2))

            # Back-propagate the errors: both before the update, as BP2 needs the old w_l2
            delta_l2 = 2 / y.numel() * (a_l2 - y) * (1 - a_l2) * a_l2  # BP1
            delta_l1 = (delta_l2 @ w_l2) * (1 - a_l1) * a_l1  # BP2

            # Gradient descent, in place: w_l - lr * dC/dw_l
            w_l2.sub_(delta_l2.T @ a_l1, alpha=lr)  # BP4
            b_l2.sub_(delta_l2.sum(dim=0), alpha=lr)  # BP3
            w_l1.sub_(delta_l1.T @ a_l0, alpha=lr)  # BP4
            b_l1.sub_(delta_l1.sum(dim=0), alpha=lr)  # BP3

            if step % 100 == 0 or step == num_steps:
                loss = calc_loss(a_l2, expected_outputs)
                report(epoch, num_epochs, step, num_steps, common.read_loss(loss))


def run_network(net, **settings):
    """Train `net` by hand and test it, as `pytorch_mnist.run_network` does by autograd."""
    return pytorch_mnist.run_network(net, train_network=train_network, **settings)


if __name__ == "__main__":
    parser = command_line.create_parser(
        "Train and test the dense 784-100-10 network on MNIST, back-propagating by hand.",
        epochs=NUM_EPOCHS,
        lr=LEARNING_RATE,
    )
    command_line.add_hidden_size_flag(parser, HIDDEN_SIZE)
    device, settings = command_line.start(parser)
    network = Net(settings.pop("hidden_size")).to(device)
    run_network(network, **settings)
