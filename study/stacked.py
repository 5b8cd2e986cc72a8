"""Train several dense networks at once, by hand: for the many seeds of a study.

A batch of ten is so small that much of a step's time goes into starting its operations.
Here each operation serves S networks, which differ in their initial weights and in the
order of their images: the matrices of `backprop_manual_mnist.py` become stacks of S matrices
and its products `bmm` and `baddbmm`, which multiply matrix by matrix. `docs/speed.md` tells
what this saves.
"""

import itertools

import torch
from torch.utils.data import DataLoader

import common
from pytorch_mnist import INPUT_SIZE, OUTPUT_SIZE
from training.run import use_threads


def create_networks(create_network, seeds):
    """Return for each seed a network, and the random generator's state that this left: two lists.

    `create_network()` returns a network that it draws from the random generator.
    """
    nets, random_states = [], []
    for seed in seeds:
        torch.manual_seed(seed)
        nets.append(create_network())
        random_states.append(torch.get_rng_state())
    return nets, random_states


def train_networks(nets, random_states, train_loader, lr, epochs):
    """Train each of the `nets` (each a `pytorch_mnist.Net`) in place, on their device.

    Each network draws the order of its images from its own random generator's state, as if
    it were trained alone. `epochs` is an iterable, as in `common.train_network`. PyTorch computes
    on one CPU thread meanwhile: batches of ten are too small to share.
    """
    take_steps = create_steps(nets, lr)
    random_states = list(random_states)  # the caller's stay
    with use_threads(1):
        for _ in epochs:
            take_steps(iterate_batches(train_loader, random_states))


def iterate_batches(train_loader, random_states):
    """Iterate over an epoch's batches for S networks; move on their `random_states`, a list of S.

    An item holds inputs [S, N, 784] and one-hot expected outputs [S, N, 10], float32.
    """
    dataset, num_networks = train_loader.dataset, len(random_states)
    # A DataLoader of indices draws what the loader of the images would draw.
    indices = range(len(dataset))
    loader = DataLoader(indices, train_loader.batch_size, shuffle=True, collate_fn=list)
    orders = []
    for index, random_state in enumerate(random_states):
        torch.set_rng_state(random_state)
        order = iter(loader)
        orders.append(itertools.chain([next(order)], order))  # it draws up to its first batch
        random_states[index] = torch.get_rng_state()
    for batches in zip(*orders, strict=True):
        images, labels = common.collate(dataset.__getitems__([*itertools.chain(*batches)]))
        a_l0 = images.view(num_networks, -1, INPUT_SIZE)
        y = common.expand_expected_output(labels, OUTPUT_SIZE).view(num_networks, -1, OUTPUT_SIZE)
        yield a_l0, y


def create_steps(nets, lr):
    """Return a function that trains the `nets` in place, a step for each item it is given.

    Items are those of `iterate_batches`. The networks' parameters become parts of the stacks,
    and so follow them.
    """
    w_l1 = _stack([net.hidden_layer.weight for net in nets])  # [S, 100, 784]
    b_l1 = _stack([net.hidden_layer.bias for net in nets]).unsqueeze(1)  # [S, 1, 100]
    w_l2 = _stack([net.output_layer.weight for net in nets])
    b_l2 = _stack([net.output_layer.bias for net in nets]).unsqueeze(1)

    def take_steps(batches):
        for a_l0, y in batches:
            step = lr * 2 / y[0].numel()

            a_l1 = torch.baddbmm(b_l1, a_l0, w_l1.mT).sigmoid_()
            a_l2 = torch.baddbmm(b_l2, a_l1, w_l2.mT).sigmoid_()

            delta_l2 = (a_l2 - y).mul_(sigmoid_prime(a_l2))
            delta_l1 = torch.bmm(delta_l2, w_l2).mul_(sigmoid_prime(a_l1))

            w_l2.baddbmm_(delta_l2.mT, a_l1, alpha=-step)
            b_l2.sub_(delta_l2.sum(dim=1, keepdim=True), alpha=step)
            w_l1.baddbmm_(delta_l1.mT, a_l0, alpha=-step)
            b_l1.sub_(delta_l1.sum(dim=1, keepdim=True), alpha=step)

    return take_steps


def sigmoid_prime(a):
    """The derivative of the sigmoid where its value is a: a - a*a, in one operation."""
    return torch.addcmul(a, a, a, value=-1)


def _stack(parameters):
    stack = torch.stack([parameter.detach() for parameter in parameters])
    for parameter, part in zip(parameters, stack, strict=True):
        parameter.data = part
    return stack
