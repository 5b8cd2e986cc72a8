import shutil

import pytest
import torch
from conftest import PROJECT
from torch import nn

import common
import pytorch_mnist
from mnist.images import keep_first
from training import compiled

pytestmark = pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None,
    reason="torch.compile needs a C++ compiler",
)


class ConvNet(nn.Module):
    """A small network with what asks most of a compiler: dropout, batch normalisation."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, kernel_size=5, bias=False),  # a bias would have no gradient
            nn.BatchNorm2d(4),
            nn.MaxPool2d(2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(4 * 12 * 12, 10),
        )

    def forward(self, x):
        return self.layers(x)


def create_sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.05, weight_decay=1e-4, momentum=0.9)


def train(create_net, create_optimizer, reshape_input, calc_loss, compile, num_images=655):
    torch.manual_seed(5)
    net = create_net()
    losses = []

    loader = common.get_loader(keep_first(common.get_dataset(), num_images))
    optimizer = create_optimizer(net.parameters())
    if not compile:
        for _ in range(2):
            for images, labels in loader:
                loss = calc_loss(net(reshape_input(images)), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
    else:
        take_steps = compiled.compile_steps(net, optimizer, reshape_input, calc_loss)
        for _ in range(2):
            losses += [read_loss() for read_loss in take_steps(loader)]
    return losses, list(net.parameters())


@pytest.mark.parametrize(
    ("create_net", "create_optimizer", "reshape_input", "calc_loss"),
    [
        (
            pytorch_mnist.Net,
            lambda parameters: torch.optim.SGD(parameters, lr=3.0),
            pytorch_mnist.create_input_reshaper(),
            pytorch_mnist.create_loss_function(nn.MSELoss()),
        ),
        (ConvNet, create_sgd, lambda images: images, nn.CrossEntropyLoss()),
        (ConvNet, torch.optim.Adam, lambda images: images, nn.CrossEntropyLoss()),
    ],
    ids=["dense", "dropout", "adam"],
)
def test_losses_and_weights_agree_with_the_eager_ones(
    create_net, create_optimizer, reshape_input, calc_loss, monkeypatch
):
    monkeypatch.setattr(compiled, "STEPS_AT_ONCE", 3)  # compiles sooner than ten
    # 66 batches an epoch, the last of which is smaller: so the last block isn't compiled.
    arguments = (create_net, create_optimizer, reshape_input, calc_loss)
    losses, parameters = train(*arguments, compile=False)
    compiled_losses, compiled_parameters = train(*arguments, compile=True)

    assert len(losses) == len(compiled_losses) == 132
    assert compiled_losses == pytest.approx(losses, abs=1e-4)
    assert losses[-1] < losses[0]
    for parameter, expected in zip(compiled_parameters, parameters, strict=True):
        torch.testing.assert_close(parameter, expected, rtol=0, atol=1e-4)


def test_the_flag_compiles_and_says_how_long_it_took(run, one_epoch):
    flags = ["--compile", "--epochs", "1", "--seed", "3", "--device", "cpu"]
    compiled = run(PROJECT / "pytorch_mnist.py", *flags)
    eager, _ = one_epoch
    assert compiled.returncode == 0
    assert "compiled 10 steps in" in compiled.stderr
    *lines, empty, result = compiled.stdout.splitlines()
    *expected_lines, _, expected_result = eager.stdout.splitlines()
    assert empty == ""
    assert float(result.split()[-1]) == pytest.approx(float(expected_result.split()[-1]), abs=2e-3)
    for line, expected in zip(lines, expected_lines, strict=True):
        assert line.split("Loss")[0] == expected.split("Loss")[0]
        assert float(line.split()[-1]) == pytest.approx(float(expected.split()[-1]), abs=2e-4)


def test_without_a_compiler_one_line_says_what_to_install(run, tmp_path):
    environment = {"PATH": str(tmp_path), "CXX": None, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    flags = ["--compile", "--seed", "1", "--device", "cpu"]
    result = run(PROJECT / "pytorch_mnist.py", *flags, env=environment)
    assert (result.returncode, result.stdout) == (1, "")
    assert "apt install g++" in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_graphs_agree_with_the_cpu():
    arguments = (
        pytorch_mnist.Net,
        lambda parameters: torch.optim.SGD(parameters, lr=3.0),
        pytorch_mnist.create_input_reshaper(),
        pytorch_mnist.create_loss_function(nn.MSELoss()),
    )
    losses, _ = train(*arguments, compile=False)
    torch.manual_seed(5)
    net = pytorch_mnist.Net().to("cuda")
    loader = common.get_loader(keep_first(common.get_dataset(), 655))
    take_steps = compiled.compile_steps(net, arguments[1](net.parameters()), *arguments[2:])
    compiled_losses = [
        read_loss()
        for _ in range(2)
        for read_loss in take_steps(loader.iterate_on(torch.device("cuda")))
    ]
    assert compiled_losses == pytest.approx(losses, abs=1e-4)
