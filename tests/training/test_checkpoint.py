"""A training that stops and goes on: the same bits and lines, or a refusal that says why."""

import os
import random
import signal
import sys
import time
from types import SimpleNamespace

import pytest
import torch
from conftest import full_disk
from mnist.images import keep_first
from torch import nn

import backprop_manual_mnist
import common
import pytorch_mnist
from files import models
from training import checkpoint, command_line, compiled
from training.checkpoint import Checkpoint, describe
from training.run import start_run


def create_network():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(784, 20), nn.ReLU(), nn.Dropout(0.5), nn.Linear(20, 10)
    )


def create_sgd(net, lr=0.1, momentum=0.9, weight_decay=1e-4):
    return torch.optim.SGD(net.parameters(), lr=lr, momentum=momentum, weight_decay=weight_decay)


def create_checkpoint(file, net=None, optimizer=None, **settings):
    net = net or create_network()
    optimizer = optimizer or create_sgd(net)
    return Checkpoint(file, describe(net, optimizer, **settings), net, optimizer)


def train(file, epochs, *, seed=1, stop_after=None, train_network=common.train_network):
    """Train with momentum, weight decay and dropout, so that all kinds of state matter."""
    torch.manual_seed(seed)
    net = create_network()
    optimizer = create_sgd(net)
    loader = common.get_loader(keep_first(common.get_dataset(train=False), 100))

    def interrupt(epochs_left):
        for epoch in epochs_left:
            if stop_after is not None and epoch > stop_after:
                raise KeyboardInterrupt
            yield epoch

    with start_run(net, optimizer, loader, epochs, None, checkpoint=file) as epochs_left:
        train_network(
            loader,
            net,
            epochs,
            optimizer,
            lambda images: images,
            nn.CrossEntropyLoss(),
            epochs=interrupt(epochs_left),
        )
    return net


def assert_equal_weights(net, expected):
    assert all(map(torch.equal, net.parameters(), expected.parameters()))


# Going on


@pytest.mark.parametrize("train_network", [common.train_network, compiled.train_network])
def test_a_resumed_training_ends_in_the_same_bits_and_lines(
    tmp_path, capsys, monkeypatch, train_network
):
    torch_compile = torch.compile
    monkeypatch.setattr(  # traced as ever, but not translated to C++
        torch,
        "compile",
        lambda *args, options, **settings: torch_compile(*args, backend="eager", **settings),
    )
    monkeypatch.setattr(compiled, "STEPS_AT_ONCE", 2)
    expected = train(tmp_path / "whole", 4, train_network=train_network)
    expected_lines = capsys.readouterr().out.splitlines()
    assert len(expected_lines) == 4

    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "file", 4, stop_after=2, train_network=train_network)
    net = train(tmp_path / "file", 4, seed=99, train_network=train_network)
    stdout, stderr = capsys.readouterr()

    assert stdout.splitlines() == expected_lines
    assert f"resumed {tmp_path}/file after epoch 2" in stderr.splitlines()
    assert_equal_weights(net, expected)


def test_a_finished_training_is_only_restored(tmp_path, capsys):
    expected = train(tmp_path / "file", 2)
    content = (tmp_path / "file").read_bytes()
    capsys.readouterr()
    net = train(tmp_path / "file", 2, seed=5)
    assert capsys.readouterr().out == ""
    assert (tmp_path / "file").read_bytes() == content
    assert_equal_weights(net, expected)


def test_a_finished_training_is_tested(tmp_path, small_mnist, capsys):
    settings = {"epochs": 1, "checkpoint": tmp_path / "file"}
    expected = pytorch_mnist.run_network(pytorch_mnist.Net(), **settings)
    capsys.readouterr()
    assert pytorch_mnist.run_network(pytorch_mnist.Net(), **settings) == expected
    assert capsys.readouterr().out == f"\nTest data results: {expected}\n"


def test_a_checkpoint_keeps_the_seed_that_the_training_began_with(tmp_path):
    """Also after a resumption under another seed: the numbers drawn are the first seed's."""
    assert checkpoint.read_seed(tmp_path / "file") is None
    train(tmp_path / "file", 1, seed=command_line.MAX_SEED)
    assert checkpoint.read_seed(tmp_path / "file") == command_line.MAX_SEED
    train(tmp_path / "file", 2, seed=7)
    assert checkpoint.read_seed(tmp_path / "file") == command_line.MAX_SEED


def test_an_accelerator_s_random_state_is_restored(tmp_path, capsys):
    """With a pretended accelerator's generator, as there may be none."""
    restored = []
    accelerator = SimpleNamespace(
        get_rng_state=lambda device: torch.arange(9, dtype=torch.uint8),
        set_rng_state=lambda state, device: restored.append((state.tolist(), device)),
    )
    device = torch.device("cuda", 1)
    for use in (lambda saved: saved.write(1), lambda saved: saved.resume(9)):
        saved = create_checkpoint(tmp_path / "file")
        saved.device, saved._device_module, saved._device_index = device, accelerator, [device]
        use(saved)
    assert restored == [(list(range(9)), device)]
    assert "could not be restored" not in capsys.readouterr().err


def test_an_interrupted_epoch_is_not_in_the_checkpoint(tmp_path):
    """A loss that is not finite, say, ends the training in mid-epoch."""

    def fail(data_loader, model, *args, epochs):
        for epoch in epochs:
            if epoch == 2:
                raise RuntimeError("the loss is nan")

    with pytest.raises(RuntimeError, match="nan"):
        train(tmp_path / "file", 3, train_network=fail)
    assert checkpoint.read(tmp_path / "file")["epoch"] == 1


def test_only_the_model_s_own_device_s_random_state_is_saved(tmp_path):
    """To ask another device for its state would create a context there."""
    create_checkpoint(tmp_path / "file").write(1)
    assert list(checkpoint.read(tmp_path / "file")["random_states"]) == ["cpu"]


def test_a_random_state_that_can_t_be_restored_is_told(file, capsys):
    content = models.read(file)
    content["random_states"]["cuda"] = torch.zeros(16, dtype=torch.uint8)  # trained on a GPU
    models.write(content, file)
    assert create_checkpoint(file).resume(9) == 3
    stderr = capsys.readouterr().err.splitlines()
    assert stderr[1:] == ["what cuda drew at random could not be restored"]


# Refusals


@pytest.fixture
def file(tmp_path):
    """A checkpoint of a network after its third epoch."""
    create_checkpoint(tmp_path / "file").write(3)
    return tmp_path / "file"


def assert_refused(file, match, net=None, optimizer=None, num_epochs=9, **settings):
    """`resume` raises ValueError with the path; file, network and randomness are unchanged."""
    net = net or create_network()
    saved = create_checkpoint(file, net, optimizer, **settings)
    before = [parameter.clone() for parameter in net.parameters()]
    optimizer_before = saved.optimizer.state_dict()
    content, random_state = file.read_bytes(), torch.get_rng_state()
    with pytest.raises(ValueError, match=match) as caught:
        saved.resume(num_epochs)
    assert str(file) in str(caught.value)
    assert file.read_bytes() == content
    assert all(map(torch.equal, net.parameters(), before))
    assert saved.optimizer.state_dict() == optimizer_before
    assert torch.equal(torch.get_rng_state(), random_state)


def test_more_epochs_than_asked_for_are_refused_with_both_numbers(file):
    assert_refused(file, "after epoch 3, and only 2 are asked for; give more", num_epochs=2)


def test_another_optimizer_is_refused_by_name(tmp_path):
    net = create_network()
    adam = torch.optim.Adam(net.parameters(), lr=0.1, weight_decay=1e-4)
    create_checkpoint(tmp_path / "file", net, adam).write(3)
    assert_refused(tmp_path / "file", r"optimizer is 'SGD', there 'Adam'")


def test_other_settings_are_refused_by_name(file):
    net = create_network()
    for setting, value, saved in (
        ("lr", 0.2, 0.1),
        ("momentum", 0.5, 0.9),
        ("weight_decay", 0, 1e-4),
    ):
        optimizer = create_sgd(net, **{setting: value})
        match = rf"another training \({setting} is {value}, there {saved}\)"
        assert_refused(file, match, net, optimizer)
    assert_refused(file, r"\(batch_size is 10, there None\)", batch_size=10)
    assert_refused(file, r"network is 'Net', there 'Sequential'", pytorch_mnist.Net())


def test_a_setting_that_is_off_is_one_that_is_not_known(file):
    """So that a new setting of another version of PyTorch doesn't end a training."""
    create_checkpoint(file, compile=False).write(3)
    assert create_checkpoint(file, new=False).resume(9) == 3


def test_another_network_is_refused_by_name(file):
    net = create_network()
    net[1] = nn.Linear(784, 30)
    assert_refused(file, r"1.weight has the shape \[20, 784\], not \[30, 784\]", net)


def test_another_format_is_refused(file, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", 99)
    create_checkpoint(file).write(3)
    monkeypatch.undo()
    assert_refused(file, "has checkpoint format 99, this program writes and reads 2")


def test_damaged_files_and_saved_models_are_refused(file):
    content = file.read_bytes()
    for damaged in (content[: len(content) // 2], b"", b"x"):
        file.write_bytes(damaged)
        assert_refused(file, "is damaged")
    models.save_model(create_network(), file)
    assert_refused(file, "is not a checkpoint; --checkpoint needs one or a new file")


def test_a_full_disk_keeps_the_last_good_checkpoint(file):
    content = file.read_bytes()
    with full_disk(1000), pytest.raises(OSError, match=f"can't save to {file}: File too large"):
        create_checkpoint(file).write(4)
    assert file.read_bytes() == content
    assert list(file.parent.iterdir()) == [file]


def test_a_folder_removed_in_mid_run_is_reported(tmp_path):
    def remove_folder(*args, epochs):
        for _ in epochs:
            folder.rename(tmp_path / "elsewhere")

    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(OSError, match=f"there is no folder {folder}"):
        train(folder / "file", 3, train_network=remove_folder)


def test_a_second_training_with_the_checkpoint_is_refused(tmp_path):
    file = tmp_path / "file"

    def train_again(*args, epochs):
        for epoch in epochs:
            if epoch == 2:
                content = file.read_bytes()
                with pytest.raises(OSError, match=f"at work with the checkpoint {file}; wait"):
                    train(file, 3)
                assert file.read_bytes() == content

    train(file, 2, train_network=train_again)
    train(file, 3)  # the lock is gone
    assert checkpoint.read(file)["epoch"] == 3


# Killing real trainings

# `backprop_manual_mnist.py`, on the images of the fixture `small_mnist`.
SMALL_SCRIPT = """
import common, backprop_manual_mnist
from mnist.images import keep_first
from training import command_line
get_dataset = common.get_dataset
common.get_dataset = lambda *args, **settings: keep_first(get_dataset(*args, **settings), 600)
command_line.run(backprop_manual_mnist.main)
"""


def create_flags(epochs, checkpoint_file):
    flags = f"--seed 1 --device cpu --epochs {epochs} --checkpoint {checkpoint_file}"
    return flags.split()


def kill_in_mid_write(process, file, num_epochs):
    """Kill the training in its write of a checkpoint after so many more epochs."""
    older = find_unfinished(file)  # a killed training's, which this one is about to remove
    for _ in range(num_epochs):
        assert process.stdout.readline().startswith("Epoch")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if find_unfinished(file) - older:
            # It may be renamed at any time, so stop the training before a second look.
            process.send_signal(signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
            if find_unfinished(file) - older:
                break
            process.send_signal(signal.SIGCONT)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    return len(find_unfinished(file) - older)


def find_unfinished(file):
    return set(file.parent.glob(f".{file.name}.{'[0-9a-f]' * 16}.tmp"))


def check_kills(start, tmp_path, monkeypatch, num_kills):
    """Kill a training and resume it, so often; let it end as one that was never killed."""
    file = tmp_path / "file"
    numbers = random.Random(0)
    num_hits = 0
    for _ in range(num_kills):
        process = start("-c", SMALL_SCRIPT, *create_flags(10**6, file))
        num_hits += kill_in_mid_write(process, file, numbers.randint(2, 4))
    assert num_hits == num_kills

    epochs = checkpoint.read(file)["epoch"] + 2
    assert epochs >= num_kills + 2
    trained = {}
    for name in ("file", "whole"):
        flags = [*create_flags(epochs, tmp_path / name), "--save-model", str(tmp_path / "model")]
        monkeypatch.setattr(sys, "argv", ["script", *flags])
        command_line.run(backprop_manual_mnist.main)
        trained[name] = models.read_state(tmp_path / "model")
    for name, value in trained["whole"].items():
        assert torch.equal(trained["file"][name], value)
    assert find_unfinished(file) == set()


def test_a_killed_training_ends_in_the_same_bits(start, tmp_path, monkeypatch, small_mnist):
    check_kills(start, tmp_path, monkeypatch, num_kills=1)


@pytest.mark.slow
def test_a_training_killed_fifty_times_ends_in_the_same_bits(
    start, tmp_path, monkeypatch, small_mnist
):
    check_kills(start, tmp_path, monkeypatch, num_kills=50)
