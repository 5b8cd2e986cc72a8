"""One step of back-propagation by hand: the chain rule on a network of two neurons.

One input feeds one hidden neuron, which feeds one output neuron. Symbols are the book's
(Nielsen, "Neural Networks and Deep Learning", chapter 2): a neuron of layer l takes the
weighted input z_l = w_l * a_(l-1) + b_l and has the activation a_l = sigmoid(z_l); a_l0 is
the input. The cost of the output a_l2, where y was wanted, is C = (a_l2 - y)**2, PyTorch's
`MSELoss`. The book's cost is half of that, so (BP1) has a factor of 2 here. All values are
plain float64 numbers. `backprop_pytorch.py` does the same with PyTorch's autograd.
"""

import numpy as np

A_L0 = 0.8  # the input
TARGET = 1.0  # the output that is wanted for it
STEP_SIZE = 0.1
INITIAL_PARAMETERS = {"w_l1": 1.58, "b_l1": -0.14, "w_l2": 2.45, "b_l2": -0.11}


def sigmoid(z):
    """Return the activation, 0 to 1, of a weighted input z."""
    return 1 / (1 + np.exp(-z))


def sigmoid_prime(z):
    """The derivative of the sigmoid at z."""
    return sigmoid(z) * (1 - sigmoid(z))


def feedforward(a_l0, w_l1, b_l1, w_l2, b_l2):
    """Return z and a of both layers: z_l1, a_l1, z_l2, a_l2."""
    z_l1 = w_l1 * a_l0 + b_l1
    a_l1 = sigmoid(z_l1)
    z_l2 = w_l2 * a_l1 + b_l2
    a_l2 = sigmoid(z_l2)
    return z_l1, a_l1, z_l2, a_l2


def backprop(a_l0, y, w_l1, b_l1, w_l2, b_l2):
    """Return the gradient of the cost: dC/dw or dC/db by the parameter's name.

    These are the book's four equations of back-propagation, (BP1) to (BP4). The error of a
    neuron is delta_l = dC/dz_l.
    """
    z_l1, a_l1, z_l2, a_l2 = feedforward(a_l0, w_l1, b_l1, w_l2, b_l2)

    delta_l2 = 2 * (a_l2 - y) * sigmoid_prime(z_l2)  # BP1: dC/da_l2 * da_l2/dz_l2
    delta_l1 = w_l2 * delta_l2 * sigmoid_prime(z_l1)  # BP2: the error, one layer back
    return {
        "w_l1": a_l0 * delta_l1,  # BP4: dC/dw_l = a_(l-1) * delta_l
        "b_l1": delta_l1,  # BP3: dC/db_l = delta_l
        "w_l2": a_l1 * delta_l2,  # BP4
        "b_l2": delta_l2,  # BP3
    }


def update(parameters, gradient, step_size):
    """Return the parameters after one step of gradient descent."""
    return {name: value - step_size * gradient[name] for name, value in parameters.items()}


def print_values(parameters, prefix=""):
    """Print the parameters and the output that the network gives with them, to 4 decimals."""
    *_, a_l2 = feedforward(A_L0, **parameters)
    for name, value in {**parameters, "a_l2": a_l2}.items():
        print(f"{prefix}{name} = {round(value, 4)}")


def main():
    gradient = backprop(A_L0, TARGET, **INITIAL_PARAMETERS)
    updated_parameters = update(INITIAL_PARAMETERS, gradient, STEP_SIZE)

    print_values(INITIAL_PARAMETERS)
    print_values(updated_parameters, prefix="updated_")


if __name__ == "__main__":
    main()
