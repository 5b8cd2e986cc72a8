"""Files of networks' states: what is written, what is read, and what is refused by name."""

import errno
import functools
import io
import os
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import full_disk
from PIL import Image
from torch import nn

import pytorch_mnist
from common import RefusedError
from files import states
from training.checkpoint import Checkpoint


class Layer(nn.Linear):
    """A network whose constructor takes numbers, and one thing that no file can keep."""

    def __init__(self, in_features=30, out_features=20, activation=nn.ReLU()):  # noqa: B008
        super().__init__(in_features, out_features)
        self.activation = activation


@pytest.fixture
def net():
    return Layer()


@pytest.fixture
def file(tmp_path):
    return tmp_path / "model.pt"


def save(net, file):
    states.save_model(net, file, states.describe(net, nn.MSELoss(), None))


def load_network(net, file):
    return states.load_state(net, states.read_state(file)[0], file)


def assert_restored(file, net):
    restored = Layer()
    assert load_network(restored, file) is restored
    assert_equal_weights(restored, net)


def assert_equal_weights(net, expected):
    assert net.state_dict().keys() == expected.state_dict().keys()
    for name, value in net.state_dict().items():
        assert torch.equal(value, expected.state_dict()[name])


def assert_refused(file, match, net=None):
    """`load_state` raises RefusedError with the path, and leaves the network as it is."""
    net = net or Layer()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    with pytest.raises(RefusedError, match=match) as caught:
        load_network(net, file)
    assert str(file) in str(caught.value)
    assert "\x1b" not in str(caught.value)  # torch.load's message has terminal colours
    assert all(torch.equal(net.state_dict()[name], value) for name, value in before.items())


# What is written


def test_a_network_is_described_with_the_plain_arguments_of_its_class(net):
    described = states.describe(net, nn.CrossEntropyLoss(), None)
    assert described["network"] == f"{__name__}.Layer"
    assert described["arguments"] == {"in_features": 30, "out_features": 20}
    assert described["loss"] == "CrossEntropyLoss()"


class Own(nn.Module):
    def __init__(self, width, activation="relu", dropout: float = 0.1, *sizes, shape=None):
        super().__init__()
        self.width, self.dropout, self.shape = width, dropout, shape
        self.activation = getattr(torch, activation)


def test_arguments_of_numpy_are_plain_and_what_no_file_can_keep_is_known():
    net = Own(np.int64(16), dropout=np.float64(0.3), shape=torch.zeros(2, 3).shape)
    arguments = states.describe(net, nn.MSELoss(), None)["arguments"]
    assert arguments == {"width": 16, "dropout": 0.3, "shape": (2, 3)}
    assert [type(value) for value in arguments.values()] == [int, float, torch.Size]
    assert states.list_unknown_arguments(net) == ["activation", "*sizes"]
    assert states.list_unknown_arguments(nn.Sequential(nn.Linear(3, 2))) == []


def test_a_loss_is_told_without_its_address():
    loss = functools.partial(nn.functional.cross_entropy, label_smoothing=0.1)
    described = states.describe(Layer(), loss, None)["loss"]
    assert described == "functools.partial(<function cross_entropy>, label_smoothing=0.1)"


@pytest.mark.parametrize(
    "wrap",
    [
        torch.compile,
        nn.DataParallel,
        lambda net: nn.DataParallel(torch.compile(net)),
        lambda net: torch.compile(nn.DataParallel(net)),
    ],
)
def test_a_wrapped_network_is_saved_and_read_without_the_wrapper_s_name(net, file, wrap):
    wrapped = wrap(net)
    assert states.describe(wrapped, nn.MSELoss(), None) == states.describe(net, nn.MSELoss(), None)
    save(wrapped, file)
    assert torch.load(file).keys() == net.state_dict().keys()
    torch.save(wrapped.state_dict(), file)  # as PyTorch itself does, with the name
    assert torch.load(file).keys() != net.state_dict().keys()
    assert_restored(file, net)
    assert_equal_weights(load_network(wrap(Layer()), file), wrapped)


def test_a_network_s_own_layer_of_a_wrapper_s_name_is_kept(file):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.module = nn.Linear(3, 2)

    net = Own()
    save(net, file)
    assert_equal_weights(load_network(Own(), file), net)


# What is read


def test_another_network_is_refused_by_name(net, file):
    save(net, file)
    shapes = r"weight has the shape \[20, 30\], not \[20, 40\]"
    assert_refused(file, shapes, nn.Linear(40, 20))
    assert_refused(file, r"bias has the shape \[20\], not None", nn.Linear(30, 20, bias=False))
    torch.save(nn.Linear(30, 20, bias=False).state_dict(), file)
    assert_refused(file, r"bias has the shape None, not \[20\]")


def test_a_buffer_may_be_infinite(file):
    """As an attention mask is."""
    net = Layer()
    net.register_buffer("mask", torch.full((3, 3), -torch.inf).triu(1))
    save(net, file)
    read = Layer()
    read.register_buffer("mask", torch.zeros(3, 3))
    assert_equal_weights(load_network(read, file), net)
    net.mask[0, 0] = torch.nan
    save(net, file)
    assert_refused(file, "not finite, in mask", read)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(net, file, number):
    net.weight.data[1, 2] = number
    save(net, file)
    assert_refused(file, "holds numbers that are not finite, in weight")


@pytest.mark.parametrize(
    "content",
    [{}, {"weight": 1}, {1: torch.zeros(2)}, [torch.zeros(2)], 3]
    + [
        {"weight": torch.zeros(20, 30), "bias": bias}
        for bias in (
            torch.zeros(20).to_sparse(),
            torch.zeros(20, device="meta"),
            torch.zeros(20) + 1j,
        )
    ],
)
def test_something_else_than_a_state_dict_of_plain_numbers_is_refused(file, content):
    torch.save(content, file)
    assert_refused(file, "no network's state_dict")


class Trap(nn.Linear):
    """A network that runs code when it is unpickled."""

    def __reduce__(self):
        return (print, ("this must not run",))


@pytest.mark.parametrize("new_format", [True, False])
def test_a_pickled_network_is_refused_and_runs_nothing(file, new_format, capsys):
    for network in (nn.Linear(30, 20), Trap(30, 20)):
        torch.save(network, file, _use_new_zipfile_serialization=new_format)
        assert_refused(file, r"save the weights: torch.save\(net.state_dict\(\), FILE\)$")
    assert capsys.readouterr().out == ""


@pytest.mark.filterwarnings("ignore")  # TorchScript is deprecated
def test_a_program_and_a_picture_are_named_as_such(file, recwarn):
    net = nn.Linear(30, 20)
    torch.jit.save(torch.jit.script(net), file)
    recwarn.clear()
    assert_refused(file, r"is a TorchScript program; save the weights: torch.save\(net.state_dict")
    assert list(recwarn) == []
    Image.new("L", (28, 28)).save(file, "PNG")
    assert_refused(file, "is a picture, not a saved network")
    torch.export.save(torch.export.export(net, (torch.zeros(1, 30),)), file)
    assert_refused(file, r"is a program of torch.export; save the weights: torch.save\(net.state_d")


@pytest.mark.parametrize("new_format", [True, False])
def test_what_torch_save_writes_is_read_and_refused_when_truncated(net, file, new_format):
    torch.save(net.state_dict(), file, _use_new_zipfile_serialization=new_format)
    assert_restored(file, net)  # the whole one
    content = file.read_bytes()
    for num_bytes in (0, 1, 10, 100, 1000, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:num_bytes])
        assert_refused(file, f"^{re.escape(str(file))} is damaged, or no file of PyTorch's$")


def test_a_flipped_bit_is_refused(net, file):
    save(net, file)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1  # within the weights
    file.write_bytes(content)
    torch.load(file)  # PyTorch itself doesn't look at the checksums
    assert_refused(file, "is damaged")


def test_what_can_t_be_a_model_is_refused_before_it_is_read(file, tmp_path, monkeypatch):
    monkeypatch.setattr(io, "BytesIO", lambda content: pytest.fail("it is read"))
    with open(file, "wb") as stream:
        stream.truncate(500_000_001)
    assert_refused(file, "is larger than 500,000,000 bytes")
    endless = [Path("/dev/zero")] if os.name == "posix" else []
    for other in [tmp_path / "missing.pt", tmp_path, *endless]:
        assert_refused(other, f"there is no file {re.escape(str(other))}$")


def test_what_can_t_be_read_is_told(net, file, monkeypatch):
    """As a file that another program has open, on Windows."""

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    save(net, file)
    content = file.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        for use in (states.read, lambda file: states.check_replaceable(file, net)):
            with pytest.raises(RefusedError, match=r"^can't read .*: Permission denied$"):
                use(file)
    assert file.read_bytes() == content


# What may be replaced


def test_only_a_saved_model_is_replaced(net, file):
    states.check_replaceable(file, net)
    assert not file.exists()
    save(net, file)
    states.check_replaceable(file, net)
    Checkpoint(file, {}, net, torch.optim.SGD(net.parameters(), lr=0.1)).write(3)
    assert_restored(file, net)  # a checkpoint's network is taken, too
    for content in (file.read_bytes(), b"", b"my thesis", b"PK, but no zip file"):
        file.write_bytes(content)
        with pytest.raises(RefusedError, match=f"{re.escape(str(file))} exists and is not a sav"):
            states.check_replaceable(file, net)
        assert file.read_bytes() == content


def test_a_disk_without_room_for_the_network_is_refused(file):
    net = pytorch_mnist.Net()
    with full_disk(79510 * 4 - 1), pytest.raises(RefusedError, match=f"can't save to {file}: "):
        states.check_replaceable(file, net)
    assert list(file.parent.iterdir()) == []
