"""A training that stops and goes on: the same bits and lines, or a refusal that says why."""

import os
import random
import signal
import time
from types import SimpleNamespace

import pytest
import torch
from conftest import PROJECT
from torch import nn

import backprop_manual_mnist
import common
import pytorch_mnist
from common import RefusedError
from files import models, states
from training import checkpoint
from training.checkpoint import Checkpoint, describe_optimizer


class Network(nn.Sequential):
    """With dropout, which draws at random in each step."""

    def __init__(self):
        super().__init__(
            nn.Flatten(), nn.Linear(784, 20), nn.ReLU(), nn.Dropout(0.5), nn.Linear(20, 10)
        )


def create_sgd(net, lr=0.1, momentum=0.9, weight_decay=1e-4):
    return torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay)


def create_checkpoint(file, net=None, optimizer=None, **settings):
    net = net or Network()
    optimizer = optimizer or create_sgd(net)
    return Checkpoint(file, settings | describe_optimizer(optimizer), net, optimizer)


@pytest.fixture(scope="module")
def loader():
    dataset = common.get_dataset(train=False)
    dataset.data, dataset.targets = dataset.data[:100], dataset.targets[:100]
    return common.get_loader(dataset)


def train(loader, file, num_epochs, *, seed=1, wrap=lambda net: net, report=common.print_progress):
    """Train with momentum, weight decay and dropout, so that all kinds of state matter."""
    torch.manual_seed(seed)
    net = wrap(Network())
    optimizer = create_sgd(net)
    saved = create_checkpoint(file, net, optimizer)

    def epochs():
        for epoch in range(1 + saved.resume(num_epochs), num_epochs + 1):
            yield epoch
            saved.write(epoch)

    common.train_network(
        *(loader, net, num_epochs, optimizer, lambda images: images, nn.CrossEntropyLoss()),
        epochs=epochs(),
        report=report,
    )
    return net


def assert_equal_weights(net, expected):
    assert all(map(torch.equal, net.parameters(), expected.parameters()))


# Going on


@pytest.mark.parametrize("wrap", [lambda net: net, nn.DataParallel])
def test_a_resumed_training_ends_in_the_same_bits_and_lines(loader, tmp_path, capsys, wrap):
    """Also one that another process has wrapped in between."""
    expected = train(loader, tmp_path / "whole", 4)
    expected_lines = capsys.readouterr().out.splitlines()
    assert len(expected_lines) == 4

    def interrupt(epoch, *arguments):
        if epoch == 3:
            raise KeyboardInterrupt
        common.print_progress(epoch, *arguments)

    with pytest.raises(KeyboardInterrupt):
        train(loader, tmp_path / "file", 4, wrap=wrap, report=interrupt)
    assert checkpoint.read(tmp_path / "file")["epoch"] == 2  # the third has not ended
    net = train(loader, tmp_path / "file", 4, seed=99)
    stdout, stderr = capsys.readouterr()
    assert stdout.splitlines() == expected_lines
    assert f"resumed {tmp_path / 'file'} after epoch 2" in stderr.splitlines()
    assert_equal_weights(net, expected)

    content = (tmp_path / "file").read_bytes()
    assert_equal_weights(train(loader, tmp_path / "file", 4, seed=5), expected)
    assert capsys.readouterr().out == ""  # a finished training is only restored
    assert (tmp_path / "file").read_bytes() == content


def test_by_hand_equals_autograd_also_after_a_resumption(small_mnist, tmp_path, capsys):
    outcomes = []
    for script in (pytorch_mnist, backprop_manual_mnist):
        file = tmp_path / script.__name__
        for epochs in (1, 2):
            torch.manual_seed(4)
            net = pytorch_mnist.Net()
            result = script.run_network(net, epochs=epochs, checkpoint=file)
        outcomes.append((net, result, capsys.readouterr().out))
    assert_equal_weights(outcomes[0][0], outcomes[1][0])
    assert outcomes[0][1:] == outcomes[1][1:]


def test_a_checkpoint_keeps_the_seed_that_the_training_began_with(loader, tmp_path):
    """Also after a resumption under another seed: the numbers drawn are the first seed's."""
    assert checkpoint.read_seed(tmp_path / "file") is None
    for epochs, seed in ((1, 2**64 - 1), (2, 7)):
        train(loader, tmp_path / "file", epochs, seed=seed)
        assert checkpoint.read_seed(tmp_path / "file") == 2**64 - 1


def test_an_accelerator_s_random_state_is_kept(tmp_path, monkeypatch, capsys):
    """With a pretended accelerator's generator, as there may be none."""
    restored = []
    accelerator = SimpleNamespace(
        get_rng_state=lambda device: torch.arange(9, dtype=torch.uint8),
        set_rng_state=lambda state, device: restored.append((state.tolist(), device)),
    )
    device = torch.device("cuda", 1)
    modules = {device: accelerator, torch.device("cpu"): torch.cpu}
    monkeypatch.setattr(torch, "get_device_module", modules.get)

    class Elsewhere(Network):
        def parameters(self):
            yield SimpleNamespace(device=device)

    for use in (lambda saved: saved.write(1), lambda saved: saved.resume(9)):
        use(create_checkpoint(tmp_path / "file", Elsewhere(), create_sgd(Network())))
    assert restored == [(list(range(9)), device)]
    assert "could not be restored" not in capsys.readouterr().err
    assert create_checkpoint(tmp_path / "file").resume(9) == 1  # where there is none
    lines = capsys.readouterr().err.splitlines()
    assert lines[1:] == ["what cuda drew at random could not be restored"]


# Refusals


@pytest.fixture
def file(tmp_path):
    """A checkpoint of a network after its third epoch."""
    create_checkpoint(tmp_path / "file").write(3)
    return tmp_path / "file"


def assert_refused(file, match, net=None, optimizer=None, num_epochs=9, **settings):
    """`resume` raises RefusedError with the path; file, network and randomness are unchanged."""
    net = net or Network()
    optimizer = optimizer or create_sgd(net)
    saved = create_checkpoint(file, net, optimizer, **settings)
    before = [parameter.clone() for parameter in net.parameters()]
    optimizer_before = optimizer.state_dict()
    content, random_state = file.read_bytes(), torch.get_rng_state()
    with pytest.raises(RefusedError, match=match) as caught:
        saved.resume(num_epochs)
    assert str(file) in str(caught.value)
    assert file.read_bytes() == content
    assert all(map(torch.equal, net.parameters(), before))
    assert optimizer.state_dict() == optimizer_before
    assert torch.equal(torch.get_rng_state(), random_state)


def test_another_training_is_refused_by_what_differs(file):
    net = Network()
    for setting, value, saved in (
        ("lr", 0.2, 0.1),
        ("momentum", 0.5, 0.9),
        ("weight_decay", 0, 1e-4),
    ):
        optimizer = create_sgd(net, **{setting: value})
        match = rf"another training \({setting}: {value} here, {saved} in the file\)"
        assert_refused(file, match, net, optimizer)
    adam = torch.optim.Adam(net.parameters(), lr=0.1, weight_decay=1e-4)
    assert_refused(file, "optimizer: 'Adam' here, 'SGD' in the file", net, adam)
    assert_refused(file, r"\(data: 'MNIST' here, None in the file\)", data="MNIST")
    assert_refused(file, "after epoch 3, and only 2 are asked for; give more", num_epochs=2)
    net[1] = nn.Linear(784, 30)
    assert_refused(file, r"1.weight has the shape \[20, 784\], not \[30, 784\]", net)
    # What is off is not known: a new setting of another version of PyTorch ends no training.
    assert create_checkpoint(file, new=False).resume(9) == 3


def test_each_parameter_group_is_compared(tmp_path):
    file = tmp_path / "file"

    def create(rates):
        net = Network()
        layers = [net[1], net[4]]
        groups = [
            {"params": layer.parameters(), "lr": lr}
            for layer, lr in zip(layers, rates, strict=True)
        ]
        return net, torch.optim.SGD(groups, lr=1)

    create_checkpoint(file, *create((0.1, 0.2))).write(3)
    match = r"\(lr of parameter group 0: 0.3 here, 0.1 in the file\)"
    assert_refused(file, match, *create((0.3, 0.2)))
    assert create_checkpoint(file, *create((0.1, 0.2))).resume(9) == 3


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("format", 99, "has checkpoint format 99, this program writes and reads"),
        ("format", None, "is not a checkpoint; --checkpoint needs one or a new file"),
        *((name, None, f"no whole checkpoint .{name}.") for name in ("seed", "model", "settings")),
        *((name, None, f"no whole checkpoint .{name}.") for name in ("epoch", "optimizer")),
        ("random_states", {}, "no whole checkpoint"),
        ("random_states", {"cpu": torch.zeros(3)}, "no whole checkpoint"),
        ("optimizer", {}, "no whole checkpoint"),
        ("model", {"1.weight": 3}, r"no whole checkpoint \(model\)"),
        (
            "model",
            Network().state_dict() | {"1.bias": torch.full((20,), float("nan"))},
            "not finite, in 1.bias",
        ),
        ("epoch", "3", r"no whole checkpoint \(epoch\)"),
    ],
)
def test_a_field_that_is_missing_or_of_another_kind_is_refused(file, field, value, message):
    content = states.read(file)
    del content[field]
    states.write(content if value is None else content | {field: value}, file)
    assert_refused(file, message)


# Killing real trainings

# `backprop_manual_mnist.py`, on the first 600 images.
SMALL_SCRIPT = """
import runpy, sys
sys.path.insert(0, {tests!r})
import common
from conftest import cut
get_dataset = common.get_dataset
common.get_dataset = lambda *args, **settings: cut(get_dataset(*args, **settings), 600)
runpy.run_path({script!r}, run_name="__main__")
"""


def create_flags(epochs, checkpoint_file):
    return ["--seed", 1, "--epochs", epochs, "--checkpoint", checkpoint_file]


def find_unfinished(file):
    return set(file.parent.glob(f".{file.name}.{'[0-9a-f]' * 16}.tmp"))


def kill_in_mid_write(process, file, num_epochs):
    """Kill the training in its write of a checkpoint after so many more epochs."""
    for _ in range(num_epochs):
        assert process.stdout.readline().startswith("Epoch")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if find_unfinished(file):
            # It may be renamed at any time, so stop the training before a second look.
            process.send_signal(signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
            if find_unfinished(file):
                break
            process.send_signal(signal.SIGCONT)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert len(find_unfinished(file)) == 1


@pytest.mark.skipif(os.name == "nt", reason="Windows doesn't stop processes")
@pytest.mark.parametrize("num_kills", [1, pytest.param(50, marks=pytest.mark.slow)])
def test_a_killed_training_ends_in_the_same_bits(
    start, run_script, tmp_path, small_mnist, num_kills
):
    """What its killed writes have left is removed by the next run."""
    file, numbers = tmp_path / "file", random.Random(0)
    tests, script = str(PROJECT / "tests"), backprop_manual_mnist.__file__
    source = SMALL_SCRIPT.format(tests=tests, script=script)
    for _ in range(num_kills):
        process = start("-c", source, *create_flags(10**6, file))
        kill_in_mid_write(process, file, numbers.randint(2, 4))

    epochs = checkpoint.read(file)["epoch"] + 2
    assert epochs >= num_kills + 2
    trained = []
    for name in ("file", "whole"):
        run_script(
            "backprop_manual_mnist.py",
            *create_flags(epochs, tmp_path / name),
            *("--save-model", tmp_path / "model"),
        )
        trained.append(models.load(tmp_path / "model").net)
    assert_equal_weights(*trained)
    assert find_unfinished(file) == set()
