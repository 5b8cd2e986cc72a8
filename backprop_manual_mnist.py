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

where * is element by element, and sigmoid'(z) = a - a*a.
"""

import torch
from torch import nn

import common
from pytorch_mnist import (
    LEARNING_RATE,
    NUM_EPOCHS,
    OUTPUT_SIZE,
    Net,
    check_learning_rate,
    create_input_reshaper,
    create_loss_function,
)
from training import command_line, run


def create_steps(net, lr):
    """Return a `take_steps` for `common.run_epochs` that trains `net`, a `pytorch_mnist.Net`.

    Each product is added to the weights as it is computed (`addmm_`): no gradient is ever
    stored. Activations and errors are written over those of the batch before.
    """
    reshape_input = create_input_reshaper()
    calc_loss = create_loss_function(nn.MSELoss())
    # The net's own weights, to be changed in place and without autograd.
    w_l1, b_l1 = net.hidden_layer.weight.detach(), net.hidden_layer.bias.detach()
    w_l2, b_l2 = net.output_layer.weight.detach(), net.output_layer.bias.detach()
    w_l1_T, w_l2_T = w_l1.t(), w_l2.t()

    def take_steps(batches):
        a_l1 = None
        for images, labels in batches:
            a_l0 = reshape_input(images)
            y = common.expand_expected_output(labels, OUTPUT_SIZE)
            if a_l1 is None or len(a_l1) != len(images):  # the last batch may be smaller
                a_l1, delta_l1 = w_l1.new_empty(2, len(images), len(w_l1))
                a_l2, delta_l2 = w_l2.new_empty(2, len(images), len(w_l2))
                delta_l1_T, delta_l2_T = delta_l1.t(), delta_l2.t()
                # BP1's factor is common to all gradients: the step takes it.
                step = lr * 2 / y.numel()

            # Feed forward: a_l = sigmoid(a_(l-1) W_l^T + b_l)
            torch.addmm(b_l1, a_l0, w_l1_T, out=a_l1).sigmoid_()
            torch.addmm(b_l2, a_l1, w_l2_T, out=a_l2).sigmoid_()

            # BP1 and BP2, the errors
            torch.sub(a_l2, y, out=delta_l2).mul_(sigmoid_prime(a_l2))
            torch.mm(delta_l2, w_l2, out=delta_l1).mul_(sigmoid_prime(a_l1))

            # BP4 and BP3, the gradients, and with them the update: w_l - step * gradient
            w_l2.addmm_(delta_l2_T, a_l1, alpha=-step)
            b_l2.sub_(delta_l2.sum(dim=0), alpha=step)
            w_l1.addmm_(delta_l1_T, a_l0, alpha=-step)
            b_l1.sub_(delta_l1.sum(dim=0), alpha=step)

            yield lambda: calc_loss(a_l2, labels).item()  # noqa: B023 (asked for at once)

    return take_steps


def sigmoid_prime(a):
    """The derivative of the sigmoid where its value is a: a - a*a, in one operation."""
    return torch.addcmul(a, a, a, value=-1)


def run_network(net, *, epochs=NUM_EPOCHS, lr=LEARNING_RATE, **settings):
    """Train `net` by hand and test it, as `pytorch_mnist.run_network` does by autograd."""
    check_learning_rate(lr)
    take_steps = create_steps(net, lr)

    def train(train_loader, **course):
        common.run_epochs(train_loader, epochs, take_steps, common.get_device(net), **course)

    return run.train_and_test(
        net,
        train,
        create_input_reshaper(),
        resume_only_with={"lr": lr, "backprop": "by hand"},
        **settings,
    )


def main():
    parser = command_line.create_parser(
        "Train and test the dense 784-100-10 network on MNIST, back-propagating by hand.",
        epochs=NUM_EPOCHS,
        lr=LEARNING_RATE,
    )
    device, settings = command_line.start(parser)
    run_network(Net().to(device), **settings)


if __name__ == "__main__":
    command_line.run(main)
