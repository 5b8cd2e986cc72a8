import copy
import shutil

import pytest
import torch
from torch import nn

import common
import pytorch_mnist
from mnist.images import keep_first
from training import compiled

torch_compile = torch.compile
needs_compiler = pytest.mark.skipif(
    shutil.which("g++") is None and shutil.which("clang++") is None,
    reason="Inductor needs a C++ compiler",
)


@pytest.fixture(autouse=True)
def two_steps_at_once(monkeypatch):
    monkeypatch.setattr(compiled, "STEPS_AT_ONCE", 2)  # compiles sooner than ten


@pytest.fixture
def cheap_backend(monkeypatch):
    """Have the steps traced as ever, but then run by PyTorch instead of being compiled to C++."""

    def compile(function, *, options, **settings):
        return torch_compile(function, backend="eager", **settings)

    monkeypatch.setattr(torch, "compile", compile)


@pytest.fixture
def loader():
    """Seven batches, the last of which is smaller: neither it nor the first two are compiled."""
    return common.get_loader(keep_first(common.get_dataset(train=False), 65))


def create_network():
    """A small network with what asks most of a compiler: batch normalisation, dropout.

    A bias before the normalisation would have no gradient but noise, which Adam would enlarge.
    """
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(784, 10, bias=False),
        nn.BatchNorm1d(10),
        nn.Dropout(0.5),
        nn.Linear(10, 10),
    )


def create_dense_network():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10), nn.Sigmoid())


def create_sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.05, weight_decay=0.1, momentum=0.9)


def identity(images):
    return images


def train(train_network, loader, net, optimizer, num_epochs=2, **settings):
    """Return what `train_network` prints: each epoch's last loss."""
    torch.manual_seed(5)
    calc_loss = nn.CrossEntropyLoss()
    train_network(loader, net, num_epochs, optimizer, identity, calc_loss, **settings)
    return net


def read_lines(capsys):
    """Return the printed positions and losses."""
    lines = capsys.readouterr().out.splitlines()
    return [line.split(", Loss: ")[0] for line in lines], [
        float(line.split()[-1]) for line in lines
    ]


def assert_agreement(create_network, create_optimizer, loader, capsys, device="cpu"):
    """Train eagerly and compiled: the losses, weights and buffers agree."""
    torch.manual_seed(1)
    net = create_network()
    before = copy.deepcopy(net)
    compiled_net = copy.deepcopy(net).to(device)
    train(common.train_network, loader, net, create_optimizer(net.parameters()))
    positions, losses = read_lines(capsys)
    train(compiled.train_network, loader, compiled_net, create_optimizer(compiled_net.parameters()))
    compiled_positions, compiled_losses = read_lines(capsys)

    assert len(positions) == 2
    assert compiled_positions == positions
    assert compiled_losses == pytest.approx(losses, abs=2e-4)
    for name, value in compiled_net.state_dict().items():
        torch.testing.assert_close(value.cpu(), net.state_dict()[name], rtol=0, atol=1e-4)
    assert not torch.allclose(net[1].weight, before[1].weight, atol=1e-2)


@pytest.mark.parametrize("create_optimizer", [create_sgd, torch.optim.Adam], ids=["sgd", "adam"])
def test_the_traced_steps_agree_with_the_eager_ones(
    create_optimizer, loader, capsys, cheap_backend
):
    assert_agreement(create_network, create_optimizer, loader, capsys)


@needs_compiler
def test_the_compiled_steps_agree_with_the_eager_ones(loader, capsys):
    assert_agreement(create_dense_network, create_sgd, loader, capsys)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_graphs_agree_with_the_cpu_and_none_is_skipped(loader, capsys):
    torch._dynamo.utils.counters.clear()
    assert_agreement(create_dense_network, create_sgd, loader, capsys, device="cuda")
    assert torch._dynamo.utils.counters["inductor"]["cudagraph_skips"] == 0


def test_a_schedule_of_learning_rates_makes_one_graph(loader, capsys, cheap_backend):
    """And each rate has its effect, as it has uncompiled."""

    def schedule(optimizer):
        for epoch in range(1, 13):
            optimizer.param_groups[0]["lr"] = 0.1 / epoch
            yield epoch

    nets = []
    torch.manual_seed(1)
    net = create_dense_network()
    torch._dynamo.utils.counters.clear()
    for train_network in (common.train_network, compiled.train_network):
        nets.append(copy.deepcopy(net))
        optimizer = create_sgd(nets[-1].parameters())
        train(train_network, loader, nets[-1], optimizer, 12, epochs=schedule(optimizer))
        assert optimizer.param_groups[0]["lr"] == 0.1 / 12
    for parameter, expected in zip(nets[1].parameters(), nets[0].parameters(), strict=True):
        torch.testing.assert_close(parameter, expected, rtol=0, atol=1e-5)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert capsys.readouterr().err.count("compiled 2 steps in") == 1


def test_any_number_of_trainings_in_a_process_is_compiled(loader, capsys, cheap_backend):
    """PyTorch gives up on a function that is recompiled too often: by default, 8 times."""
    with torch._dynamo.config.patch(recompile_limit=1):
        for _ in range(2):
            net = create_dense_network()
            train(compiled.train_network, loader, net, create_sgd(net.parameters()), 1)
    assert capsys.readouterr().err.count("compiled 2 steps in") == 2


# What can't be compiled


class Branching(nn.Module):
    """A network that looks at its values: Python decides, which is no graph."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(784, 10)

    def forward(self, images):
        outputs = self.layer(images.flatten(start_dim=1))
        torch._dynamo.graph_break()
        return outputs


def test_a_graph_break_is_told_as_such(loader, cheap_backend):
    net = Branching()
    with pytest.raises(
        RuntimeError, match=r"can't be compiled as one graph .*graph.break"
    ) as error:
        train(compiled.train_network, loader, net, create_sgd(net.parameters()))
    assert "compiler" not in str(error.value)
    assert "train it without --compile" in str(error.value)


def test_without_a_compiler_it_says_what_to_install(loader):
    from torch._inductor import config

    net = create_dense_network()
    with (
        config.patch({"cpp.cxx": ("/no/such/compiler",), "force_disable_caches": True}),
        pytest.raises(RuntimeError, match=r"needs a C\+\+ compiler, .*apt install g\+\+"),
    ):
        train(compiled.train_network, loader, net, create_sgd(net.parameters()))


def test_an_optimizer_that_needs_a_closure_is_refused(loader):
    net = create_dense_network()
    with pytest.raises(TypeError, match=r"LBFGS.*closure"):
        train(compiled.train_network, loader, net, torch.optim.LBFGS(net.parameters()))


def test_a_loss_that_is_not_finite_ends_the_training(loader, cheap_backend):
    net = pytorch_mnist.Net()
    nn.init.constant_(net.output_layer.bias, torch.nan)
    arguments = (
        pytorch_mnist.create_input_reshaper(),
        pytorch_mnist.create_loss_function(nn.MSELoss()),
    )
    sgd = create_sgd(net.parameters())
    with pytest.raises(RuntimeError, match=r"Step \[7/7\]: the loss is nan"):
        compiled.train_network(loader, net, 1, sgd, *arguments)
