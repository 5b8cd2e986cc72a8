import errno
import os

import pytest
import torch
from conftest import full_disk
from torch import nn

import common
from files import models
from training.checkpoint import Checkpoint


@pytest.fixture
def model():
    return nn.Linear(30, 20)


@pytest.fixture
def file(tmp_path):
    return tmp_path / "model.pt"


def assert_restored(file, model):
    restored = nn.Linear(30, 20)
    assert common.load_network(restored, file) is restored
    assert_equal_weights(restored, model)


def assert_equal_weights(model, expected):
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected.state_dict()[name])


def assert_refused(file, match, network=None):
    """`load_network` raises ValueError with the path, and leaves the network as it is."""
    network = network or nn.Linear(30, 20)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with pytest.raises(ValueError, match=match) as caught:
        common.load_network(network, file)
    assert str(file) in str(caught.value)
    assert "\x1b" not in str(caught.value)  # torch.load's message has terminal colours
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items())


# What is written


def test_pytorch_loads_a_saved_model_bit_for_bit(model, file):
    models.save_model(model, file)
    restored = nn.Linear(30, 20)
    restored.load_state_dict(torch.load(file, weights_only=True))
    assert_equal_weights(restored, model)
    assert list(file.parent.iterdir()) == [file]


def test_a_home_folder_is_expanded(model, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    models.save_model(model, "~/model.pt")
    assert_restored("~/model.pt", model)
    assert [file.name for file in tmp_path.iterdir()] == ["model.pt"]


def test_a_saved_model_says_whether_its_inputs_were_normalized(model, file):
    for normalized in (True, False):
        models.save_model(model, file, normalized=normalized)
        assert models.is_normalized(models.read_state(file)) is normalized
        assert_restored(file, model)
    torch.save(dict(model.state_dict()), file)  # without the version numbers
    assert models.is_normalized(models.read_state(file)) is False


def test_a_full_disk_is_the_system_s_error_and_leaves_the_older_model(model, file):
    models.save_model(model, file)
    with full_disk(1000), pytest.raises(OSError) as caught:
        models.save_model(nn.Linear(300, 200), file)
    assert str(caught.value) == f"can't save to {file}: {os.strerror(errno.EFBIG)}"
    assert_restored(file, model)
    assert list(file.parent.iterdir()) == [file]


# What is read


@pytest.mark.parametrize("new_format", [True, False])
def test_what_torch_save_writes_is_loaded(model, file, new_format):
    torch.save(model.state_dict(), file, _use_new_zipfile_serialization=new_format)
    assert_restored(file, model)


def test_names_of_data_parallel_are_taken(model, file):
    torch.save(nn.DataParallel(model).state_dict(), file)
    assert "module.weight" in torch.load(file)
    assert_restored(file, model)


def test_a_checkpoint_s_network_is_taken(model, file):
    Checkpoint(file, {}, model, torch.optim.SGD(model.parameters(), lr=0.1)).write(3)
    assert_restored(file, model)


def test_a_missing_file_is_told(model, tmp_path):
    for file in (tmp_path / "missing.pt", tmp_path):
        with pytest.raises(FileNotFoundError, match=f"there is no file {file}"):
            common.load_network(model, file)


def test_another_network_is_refused_by_name(model, file):
    models.save_model(model, file)
    shapes = r"weight has the shape \[20, 30\], not \[20, 40\]"
    assert_refused(file, shapes, nn.Linear(40, 20))
    assert_refused(file, r"bias has the shape \[20\], not None", nn.Linear(30, 20, bias=False))
    models.save_model(nn.Linear(30, 20, bias=False), file)
    assert_refused(file, r"bias has the shape None, not \[20\]")


@pytest.mark.parametrize("content", [{}, {"weight": 1}, {1: torch.zeros(2)}, [torch.zeros(2)], 3])
def test_something_else_than_a_state_dict_is_refused(file, content):
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


def flip_a_bit(content):
    middle = len(content) // 2  # within the weights
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize("new_format", [True, False])
def test_a_truncated_file_is_refused(model, file, new_format):
    torch.save(model.state_dict(), file, _use_new_zipfile_serialization=new_format)
    content = file.read_bytes()
    for num_bytes in (1, 10, 100, 1000, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:num_bytes])
        assert_refused(file, f"^{file} is damaged, or no file of PyTorch's$")


def test_a_flipped_bit_is_refused(model, file):
    models.save_model(model, file)
    file.write_bytes(flip_a_bit(file.read_bytes()))
    torch.load(file)  # PyTorch itself doesn't look at the checksums
    assert_refused(file, "is damaged")


@pytest.mark.parametrize("content", [b"", b"x", b"a line of text\n" * 100, b"PK, but no zip file"])
def test_another_file_is_refused(file, content):
    file.write_bytes(content)
    assert_refused(file, "is damaged, or no file of PyTorch's")


# What may be replaced


def test_a_saved_model_may_be_replaced_and_a_new_name_used(model, file):
    models.check_replaceable(file)
    assert not file.exists()
    models.save_model(model, file)
    models.check_replaceable(file)
    assert_restored(file, model)


@pytest.mark.parametrize("content", [b"", b"my thesis", b"PK, but no zip file"])
def test_a_file_that_is_no_saved_model_may_not_be_replaced(file, content):
    file.write_bytes(content)
    with pytest.raises(OSError, match=f"{file} exists and is not a saved network"):
        models.check_replaceable(file)
    assert file.read_bytes() == content


def test_a_checkpoint_may_not_be_replaced_by_a_model(model, file):
    Checkpoint(file, {}, model, torch.optim.SGD(model.parameters(), lr=0.1)).write(3)
    with pytest.raises(OSError, match="is not a saved network"):
        models.check_replaceable(file)


@pytest.mark.parametrize("file", ["", "folder/"])
def test_a_name_of_no_file_is_refused(file):
    with pytest.raises(OSError, match=f"can't save to '{file}': that names no file"):
        models.check_replaceable(file)
