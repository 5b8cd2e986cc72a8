import pytest
import torch
from conftest import PROJECT
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import backprop_manual_mnist
import common
import pytorch_mnist
from mnist.images import keep_first


def take_manual_step(net, images, labels, lr):
    (read_loss,) = [f() for f in backprop_manual_mnist.create_steps(net, lr)([(images, labels)])]
    return read_loss


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
    assert take_manual_step(net, images, labels, lr) == pytest.approx(
        expected_loss.item(), rel=1e-12
    )
    for parameter, expected_parameter in zip(net.parameters(), expected.parameters(), strict=True):
        expected_value = expected_parameter - lr * expected_parameter.grad
        torch.testing.assert_close(parameter, expected_value, rtol=1e-12, atol=1e-12)


def test_the_gradient_is_the_finite_difference():
    torch.manual_seed(2)
    net = pytorch_mnist.Net().double()
    images, labels = torch.rand(3, 1, 28, 28, dtype=torch.float64), torch.tensor([1, 9, 4])
    targets = nn.functional.one_hot(labels, 10).double()
    before = [parameter.detach().clone() for parameter in net.parameters()]
    take_manual_step(net, images, labels, lr=1.0)
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


def test_one_epoch_prints_the_autograd_script_s_lines(run, one_epoch, tmp_path):
    """Every printed loss, and the weights to 1e-5, after 6,000 steps on the real data."""
    autograd, autograd_folder = one_epoch
    flags = ["--epochs", "1", "--seed", "3", "--device", "cpu", "--save-model", "model.pt"]
    manual = run(PROJECT / "backprop_manual_mnist.py", *flags)

    assert manual.returncode == 0
    assert manual.stderr == autograd.stderr
    manual_lines, lines = manual.stdout.splitlines(), autograd.stdout.splitlines()
    assert manual_lines[:-1] == lines[:-1]
    assert len(lines) == 60 + 1 + 1
    assert abs(float(manual_lines[-1].split()[-1]) - float(lines[-1].split()[-1])) <= 0.001

    weights = torch.load(tmp_path / "model.pt")
    for name, expected in torch.load(autograd_folder / "model.pt").items():
        torch.testing.assert_close(weights[name], expected, rtol=0, atol=1e-5)


def test_a_smaller_last_batch_is_taken(capsys):
    def train(run_network):
        torch.manual_seed(4)
        net = pytorch_mnist.Net()
        run_network(net)
        return net, capsys.readouterr().out

    loader = common.get_loader(keep_first(common.get_dataset(), 107), 10, shuffle=False)

    def by_hand(net):
        take_steps = backprop_manual_mnist.create_steps(net, 3.0)
        common.run_epochs(loader, 3, take_steps, torch.device("cpu"))

    def by_autograd(net):
        optimizer = torch.optim.SGD(net.parameters(), lr=3.0)
        calc_loss = pytorch_mnist.create_loss_function(nn.MSELoss())
        reshape_input = pytorch_mnist.create_input_reshaper()
        common.train_network(loader, net, 3, optimizer, reshape_input, calc_loss)

    manual_net, manual_lines = train(by_hand)
    net, lines = train(by_autograd)
    assert manual_lines == lines
    for parameter, expected in zip(manual_net.parameters(), net.parameters(), strict=True):
        torch.testing.assert_close(parameter, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("settings", [{"lr": 0.0}, {"epochs": 0}, {"batch_size": -1}])
def test_bad_settings_are_refused(settings):
    with pytest.raises(ValueError):
        backprop_manual_mnist.run_network(pytorch_mnist.Net(), **settings)


@pytest.mark.slow
def test_thirty_epochs_reach_the_autograd_script_s_accuracy(run):
    # Last run on 2026-11-25: passed.
    results = [
        float(run(PROJECT / script, "--seed", 1, timeout=500).stdout.split()[-1])
        for script in ("backprop_manual_mnist.py", "pytorch_mnist.py")
    ]
    assert abs(results[0] - results[1]) <= 0.001
    assert all(0.977 <= result <= 0.981 for result in results)
