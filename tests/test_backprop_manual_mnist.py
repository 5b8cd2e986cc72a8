import contextlib
import io
import warnings

import pytest
import torch
from conftest import ONE_EPOCH, PROJECT
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import Subset

import backprop_manual_mnist
import common
import pytorch_mnist


def train(train_epoch, loader, net, lr=3.0, num_epochs=1, gamma=1.0):
    """Train by one of the two `train_epoch`, the learning rate times `gamma` after each epoch."""
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma)
    reshape_input = pytorch_mnist.create_input_reshaper()
    calc_loss = pytorch_mnist.create_loss_function(nn.MSELoss())
    for epoch in range(1, num_epochs + 1):
        train_epoch(loader, net, epoch, num_epochs, optimizer, reshape_input, calc_loss)
        with warnings.catch_warnings():  # by hand, no `optimizer.step` is called
            warnings.simplefilter("ignore")
            schedule.step()


def train_by_hand(*arguments, **settings):
    train(backprop_manual_mnist.train_epoch, *arguments, **settings)


@settings(max_examples=20, deadline=None)
@given(batch_size=st.integers(1, 12), lr=st.floats(0.01, 10), seed=st.integers(0, 2**32))
def test_a_step_is_autograd_s_in_float64(batch_size, lr, seed):
    torch.manual_seed(seed)
    net, expected = pytorch_mnist.Net().double(), pytorch_mnist.Net().double()
    expected.load_state_dict(net.state_dict())
    images = torch.rand(batch_size, 1, 28, 28, dtype=torch.float64)
    labels = torch.randint(10, (batch_size,))

    targets = nn.functional.one_hot(labels, 10).double()
    expected_loss = ((expected(images.reshape(-1, 784)) - targets) ** 2).mean()
    expected_loss.backward()

    # expand_expected_output is float32 by contract; it is exact, being zeros and ones.
    with contextlib.redirect_stdout(io.StringIO()) as stdout:
        train_by_hand([(images, labels)], net, lr)
    assert stdout.getvalue().endswith(f"Loss: {expected_loss.item():.4f}\n")
    for parameter, expected_parameter in zip(net.parameters(), expected.parameters(), strict=True):
        expected_value = expected_parameter - lr * expected_parameter.grad
        torch.testing.assert_close(parameter, expected_value, rtol=1e-12, atol=1e-12)


def test_the_gradient_is_the_finite_difference():
    torch.manual_seed(2)
    net = pytorch_mnist.Net().double()
    images, labels = torch.rand(3, 1, 28, 28, dtype=torch.float64), torch.tensor([1, 9, 4])
    targets = nn.functional.one_hot(labels, 10).double()
    before = [parameter.detach().clone() for parameter in net.parameters()]
    train_by_hand([(images, labels)], net, lr=1.0)
    gradients = [
        b - parameter.detach() for b, parameter in zip(before, net.parameters(), strict=True)
    ]

    def loss_with(values):
        w_l1, b_l1, w_l2, b_l2 = values
        a_l1 = torch.sigmoid(images.reshape(3, 784) @ w_l1.T + b_l1)
        return ((torch.sigmoid(a_l1 @ w_l2.T + b_l2) - targets) ** 2).mean()

    for k, gradient in enumerate(gradients):
        for index in torch.randint(gradient.numel(), (5,)):
            losses = []
            for change in (1e-5, -1e-5):
                values = [b.clone() for b in before]
                values[k].view(-1)[index] += change
                losses.append(loss_with(values))
            difference = (losses[0] - losses[1]) / 2e-5
            torch.testing.assert_close(gradient.view(-1)[index], difference, rtol=1e-5, atol=1e-10)


@pytest.mark.parametrize(("batch_size", "threads"), [(7, 1), (10, 1), (64, 1), (10, 2)])
def test_training_by_hand_is_autograd_s_to_the_last_bit(batch_size, threads, capsys):
    """On real batches, with a smaller last one and a schedule: each printed line, all weights."""
    num_images = 1005 if threads == 1 else 105  # a busy machine makes threads wait for long
    torch.set_num_threads(threads)
    dataset = Subset(common.get_dataset(), range(num_images))
    outcomes = []
    for train_epoch in (backprop_manual_mnist.train_epoch, common.train_epoch):
        loader = common.get_loader(dataset, batch_size)
        torch.manual_seed(4)
        net = pytorch_mnist.Net()
        train(train_epoch, loader, net, num_epochs=3, gamma=0.5)
        outcomes.append((capsys.readouterr().out, list(net.parameters())))
    torch.set_num_threads(1)
    by_hand, by_autograd = outcomes
    assert by_hand[0] == by_autograd[0]
    assert "Epoch [3/3]" in by_hand[0]
    assert all(map(torch.equal, by_hand[1], by_autograd[1]))


def test_the_script_prints_the_autograd_script_s_lines(one_epoch, run_script, tmp_path, capsys):
    """All steps of an epoch on the real data."""
    flags = [*ONE_EPOCH.split(), f"--save-model={tmp_path / 'model.pt'}"]
    run_script("backprop_manual_mnist.py", *flags)
    assert capsys.readouterr().out == one_epoch.stdout
    weights = torch.load(tmp_path / "model.pt")
    expected = torch.load(one_epoch.model)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


@pytest.mark.slow
def test_thirty_epochs_end_in_the_same_bits(run, tmp_path):
    outputs, weights = [], []
    for script in ("backprop_manual_mnist.py", "pytorch_mnist.py"):
        flags = f"--seed 1 --device cpu --save-model {script}.pt"
        outputs.append(run(PROJECT / script, *flags.split(), timeout=1000).stdout)
        weights.append(torch.load(tmp_path / f"{script}.pt"))
    assert outputs[0] == outputs[1]
    assert len(outputs[0].splitlines()) == 30 * 60 + 2
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert 0.976 <= float(outputs[0].split()[-1]) <= 0.981
