"""What happens around a training's epochs, and that each setting has its effect."""

import functools
import itertools
import os
import re

import numpy as np
import pytest
import torch
from conftest import full_disk
from torch import nn

import backprop_manual_mnist
import common
import pytorch_mnist
import pytorch_mnist_convnet
from common import RefusedError
from files import models, states
from training import progress
from training.run import MAX_THREADS, Run, Settings, use_threads

pytestmark = pytest.mark.usefixtures("small_mnist")


@pytest.fixture
def net():
    return pytorch_mnist.Net()


def create_run(net, epochs=3, **settings):
    sgd = torch.optim.SGD(net.parameters(), lr=0.5)
    settings = Settings(epochs=epochs, lr=0.5, **settings)
    return Run(net, sgd, nn.MSELoss(), pytorch_mnist.create_input_reshaper(), settings)


def test_it_has_epochs_loaders_and_the_threads_for_its_block(net):
    before = torch.get_num_threads()
    with pytest.raises(KeyError), create_run(net, threads=before + 1, batch_size=7) as run:
        assert list(run.epochs) == [1, 2, 3]
        assert (run.train_loader.batch_size, len(run.train_loader.dataset)) == (7, 600)
        assert next(iter(run.test_loader))[1].tolist() == [7, 2, 1, 0, 4, 1, 4]  # in file order
        assert torch.get_num_threads() == before + 1
        raise KeyError
    assert torch.get_num_threads() == before
    with use_threads(before + 1):
        assert torch.get_num_threads() == before + 1


def test_training_and_test_images_are_prepared_alike(net):
    for normalize, darkest in ((True, (0 - 0.1305) / 0.3081), (False, 0)):
        with create_run(net, normalize=normalize) as run:
            for loader in (run.train_loader, run.test_loader):
                images, _ = next(iter(loader))
                assert images.min().item() == pytest.approx(darkest, abs=1e-6)


def test_testing_each_epoch_leaves_the_training_as_it_is(capsys):
    def train(**settings):
        torch.manual_seed(2)
        # With dropout, which a test switches off.
        net = nn.Sequential(nn.Linear(784, 20), nn.Dropout(0.5), nn.Linear(20, 10))
        result = pytorch_mnist.run_network(net, epochs=3, lr=0.1, **settings)
        return list(net.parameters()), result, capsys.readouterr().out.splitlines()

    parameters, result, lines = train()
    tested_parameters, tested_result, tested_lines = train(test_each_epoch=True)

    assert all(map(torch.equal, parameters, tested_parameters))
    assert result == tested_result
    kinds = [line.split()[0] if line else "" for line in tested_lines]
    assert kinds == ["Epoch", "Test", "Epoch", "Test", "Epoch", "", "Test"]  # the last one once
    assert [line for line in tested_lines if tested_lines.index(line) not in (1, 3)] == lines


@pytest.mark.parametrize(
    "train_network", [common.train_network, backprop_manual_mnist.train_network]
)
def test_the_epochs_may_change_the_learning_rate_and_stop(net, capsys, train_network):
    """A generator around them: a schedule, and early stopping. Each epoch has its rate."""
    weights = [net.hidden_layer.weight.detach().clone()]

    def schedule(epochs):
        for epoch in epochs:
            run.optimizer.param_groups[0]["lr"] = 2.0 if epoch == 1 else 0.0
            yield epoch
            weights.append(net.hidden_layer.weight.detach().clone())
            if epoch == 3:
                return

    with create_run(net, epochs=9, batch_size=200) as run:
        train_network(
            *(run.train_loader, net, 9, run.optimizer, run.reshape_input),
            pytorch_mnist.create_loss_function(nn.MSELoss()),
            epochs=schedule(run.epochs),
        )
    assert len(weights) == 4
    changes = [not torch.equal(*pair) for pair in itertools.pairwise(weights)]
    assert changes == [True, False, False]
    steps = [line.split(", Loss")[0] for line in capsys.readouterr().out.splitlines()]
    assert steps == [f"Epoch [{epoch}/9], Step [3/3]" for epoch in (1, 2, 3)]


# What goes on from a checkpoint


def train_by_schedule(file, epochs, gamma=0.1, **kept):
    """Train by a rate that falls after every second epoch; return the net and the rates."""
    torch.manual_seed(3)
    net, rates = pytorch_mnist.Net(), []
    sgd = torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9)
    schedule = torch.optim.lr_scheduler.StepLR(sgd, step_size=2, gamma=gamma)
    settings = Settings(epochs=epochs, lr=0.5, batch_size=100, checkpoint=file)
    stateful = {"schedule": schedule} if file else {}

    def schedule_after(epochs):
        for epoch in epochs:
            rates.append(sgd.param_groups[0]["lr"])
            yield epoch
            schedule.step()

    reshape_input = pytorch_mnist.create_input_reshaper()
    with Run(
        net, sgd, nn.MSELoss(), reshape_input, settings, **{"stateful": stateful} | kept
    ) as run:
        common.train_network(
            *(run.train_loader, net, epochs, sgd, reshape_input),
            pytorch_mnist.create_loss_function(nn.MSELoss()),
            epochs=schedule_after(run.epochs),
        )
    return net, rates


def test_a_schedule_goes_on_where_it_was(tmp_path):
    whole, rates = train_by_schedule(None, 6)
    assert rates == pytest.approx([0.5, 0.5, 0.05, 0.05, 0.005, 0.005])
    file = tmp_path / "file"
    assert train_by_schedule(file, 3)[1] == rates[:3]
    net, later_rates = train_by_schedule(file, 6)
    assert later_rates == rates[3:]
    assert all(map(torch.equal, net.parameters(), whole.parameters()))


def test_a_schedule_that_the_checkpoint_does_not_keep_is_refused(tmp_path):
    with pytest.raises(RefusedError, match=r'give it to Run, as stateful=\{"schedule": sche'):
        train_by_schedule(tmp_path / "file", 3, stateful=None)
    train_by_schedule(tmp_path / "file", 1)
    with pytest.raises(RefusedError, match=r'give it to Run, as stateful=\{"schedule": sche'):
        train_by_schedule(tmp_path / "file", 3, stateful={"other": nn.Linear(1, 1)})
    with pytest.raises(RefusedError, match=r"\(schedule.gamma: 0.5 here, 0.1 in the file\)"):
        train_by_schedule(tmp_path / "file", 3, gamma=0.5)


def test_anything_of_a_state_is_kept(net, tmp_path):
    def begin(**stateful):
        sgd = torch.optim.SGD(net.parameters(), lr=0.5)
        settings = Settings(epochs=2, lr=0.5, checkpoint=tmp_path / "file")
        return Run(net, sgd, nn.MSELoss(), nn.Flatten(), settings, stateful)

    averaged = nn.Linear(2, 1)
    expected = averaged.weight.detach().clone()
    with begin(average=averaged) as run:
        next(epochs := run.epochs)
        next(epochs)
    nn.init.zeros_(averaged.weight)
    with begin(average=averaged) as run:
        assert list(run.epochs) == [2]
    assert torch.equal(averaged.weight, expected)
    with pytest.raises(RefusedError, match=r"stateful: \[\] here, \['average'\] in the"), begin():
        pytest.fail("it has begun to train")


class WithExtraState(pytorch_mnist.Net):
    def get_extra_state(self):
        return {"a": 1}

    def set_extra_state(self, state):
        pass


def test_what_could_not_be_read_again_is_refused_before_the_training(net, tmp_path):
    def create(lr):
        sgd = torch.optim.SGD(net.parameters(), lr=lr)
        settings = Settings(epochs=1, lr=lr, checkpoint=tmp_path / "file")
        return Run(net, sgd, nn.MSELoss(), nn.Flatten(), settings)

    with pytest.raises(RefusedError, match="file could not be read again"), create(np.float64(0.5)):
        pytest.fail("it has begun to train")
    for _ in range(2):
        with create(np.float64(0.5).item()) as run:
            list(run.epochs)
    refuse("no whole checkpoint", WithExtraState(), checkpoint=tmp_path / "other")


def test_a_loss_may_be_a_function(net, tmp_path):
    """Another one of the same name, as the next run of the script makes it."""
    file = tmp_path / "file"
    for epochs in (1, 2):
        loss = pytorch_mnist.create_loss_function(nn.MSELoss())
        settings = Settings(epochs=epochs, lr=0.5, checkpoint=file)
        sgd = torch.optim.SGD(net.parameters(), lr=0.5)
        with Run(net, sgd, loss, nn.Flatten(), settings) as run:
            assert list(run.epochs) == [epochs]


def test_a_network_of_no_known_seed_goes_on_in_its_log(tmp_path):
    files = {"checkpoint": tmp_path / "file", "log": tmp_path / "log.csv"}
    for epochs in (1, 2):
        torch.manual_seed(1)
        net = nn.Sequential(nn.Linear(784, 10))
        pytorch_mnist.run_network(net, epochs=epochs, batch_size=300, **files)
    training, rows = progress.read_log(files["log"])
    assert training["seed"] is None
    assert [epoch for epoch, _ in rows] == [1, 2]


# Files


def refuse(match, net, **settings):
    with pytest.raises(RefusedError, match=match), create_run(net, **settings):
        pytest.fail("it has begun to train")


def test_the_model_is_saved_at_the_end_and_only_then(net, tmp_path, home):
    file = tmp_path / "model.pt"
    with pytest.raises(KeyError), create_run(net, save_model="~/model.pt"):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
    for value in (1.0, 2.0):  # the second time, it replaces the first one
        with create_run(net, save_model="~/model.pt"):
            nn.init.constant_(net.output_layer.bias, value)
        assert models.load(file).net.output_layer.bias[0] == value
    if os.name != "nt":
        assert list(tmp_path.iterdir()) == [file]  # no lock is left


# Traced as ever, but not translated to C++
trace = functools.partial(torch.compile, backend="eager")


@pytest.mark.parametrize("wrap", [trace, nn.DataParallel])
def test_a_wrapped_network_is_trained_saved_and_resumed(net, tmp_path, wrap):
    files = {name: tmp_path / name for name in ("save_model", "checkpoint")}
    wrapped = wrap(net)
    pytorch_mnist.run_network(wrapped, epochs=1, batch_size=200, **files)
    for file in files.values():
        assert torch.equal(models.load(file).net.hidden_layer.bias, net.hidden_layer.bias)
    again = pytorch_mnist.Net()
    pytorch_mnist.run_network(again, epochs=1, batch_size=200, **files)
    assert torch.equal(again.hidden_layer.bias, net.hidden_layer.bias)


def test_no_two_of_its_files_may_be_one(net, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refuse("file, or it was given twice", net, save_model="file", log="./file")
    names = ["file", "./file", tmp_path / "file"]
    if os.name != "nt":  # where only an administrator may make links
        (tmp_path / "link").symlink_to("file")
        names.append("link")
    for exists in (False, True):
        for name in names:
            refuse("file, or it was given twice", net, save_model=name, checkpoint="file")
        if not exists:
            with create_run(net, checkpoint="file") as run:
                list(run.epochs)


def test_files_that_can_t_be_written_are_refused_before_the_training(net, tmp_path):
    for name in ("save_model", "checkpoint", "log"):
        refuse("is not a regular file", net, **{name: ""})
        refuse("can't save to no/folder/file: ", net, **{name: "no/folder/file"})
        refuse("is not a regular file", net, **{name: tmp_path})
        if os.name != "nt":
            refuse("is not a regular file", net, **{name: "/dev/zero"})
    refuse("must be 1 or more and .* not 0 and 1$", net, epochs=0)
    for threads in (0, MAX_THREADS + 1, 100_000):
        refuse(f"threads 1 to {MAX_THREADS}, not 1 and {threads}$", net, epochs=1, threads=threads)
    (tmp_path / "thesis").write_text("my thesis")
    refuse("is not a saved network", net, save_model=tmp_path / "thesis")
    refuse("is damaged, or no file of PyTorch's", net, checkpoint=tmp_path / "thesis")
    refuse("exists; give a new file", net, log=tmp_path / "thesis")
    (tmp_path / "thesis").chmod(0o444)
    for name in ("save_model", "checkpoint", "log"):
        refuse("it is read-only", net, **{name: tmp_path / "thesis"})
    with full_disk(1000):
        refuse("can't save to", net, save_model=tmp_path / "model.pt")
    assert [file.name for file in tmp_path.iterdir()] == ["thesis"]
    assert (tmp_path / "thesis").read_text() == "my thesis"


@pytest.mark.parametrize("name", ["save_model", "checkpoint", "log"])
def test_a_second_training_with_one_of_its_files_is_refused_at_its_start(net, tmp_path, name):
    file = tmp_path / "file"
    with create_run(net, epochs=1, **{name: file}):
        message = f"another training is at work with {re.escape(str(file))}, or"
        refuse(message, net, **{name: file})
    assert not (tmp_path / ".file.lock").exists() or os.name == "nt"


def test_a_checkpoint_is_of_one_training_only(tmp_path, monkeypatch):
    """Other settings are refused by name, and other data."""
    net = pytorch_mnist_convnet.ConvNetSimple()
    file = tmp_path / "file"
    settings = {"epochs": 1, "lr": 0.1, "batch_size": 300, "threads": 1, "checkpoint": file}
    pytorch_mnist_convnet.run_network(net, **settings)
    content = file.read_bytes()

    def assert_refused(match, **change):
        with pytest.raises(RefusedError, match=rf"another training \(.*{match} in the file"):
            pytorch_mnist_convnet.run_network(net, **settings | {"epochs": 2} | change)
        assert file.read_bytes() == content

    assert_refused("lr: 0.2 here, 0.1", lr=0.2)
    assert_refused("batch_size: 200 here, 300", batch_size=200)
    assert_refused("weight_decay: 0.01 here, 0.0", weight_decay=0.01)
    assert_refused("num_images: 3000 here, 600", extend_data=True)
    assert_refused("transform: .*Normalize.* here, 'Compose.*'", normalize=True)

    get_dataset = common.get_dataset

    def get_other_dataset(*arguments, **settings):
        dataset = get_dataset(*arguments, **settings)
        dataset.targets[3] += 1
        return dataset

    monkeypatch.setattr(common, "get_dataset", get_other_dataset)
    assert_refused(r"data: \['[0-9a-f]{16}', .*\] here, \['[0-9a-f]{16}', .*\]")


# Every flag reaches the training


@pytest.fixture
def train_script(run_script, monkeypatch):
    """Return a function that runs a script with flags, and returns what it trained with."""
    train_network = common.train_network

    def train_script(script, flags):
        def train(loader, net, num_epochs, optimizer, *arguments, **settings):
            (group,) = optimizer.param_groups
            images, _ = next(iter(loader))
            seen.update(
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                batch_size=len(images),
                darkest=round(images.min().item(), 4),
                num_images=len(loader.dataset),
                seed=torch.initial_seed(),
                threads=torch.get_num_threads(),
                parameters=sum(parameter.numel() for parameter in net.parameters()),
            )
            train_network(loader, net, num_epochs, optimizer, *arguments, **settings)

        seen = {}
        monkeypatch.setattr(common, "train_network", train)
        run_script(script, *flags.split())
        return seen

    return train_script


def test_the_flags_of_the_dense_network_s_script_reach_the_training(train_script, capsys):
    flags = "--epochs 2 --lr 0.7 --batch-size 100 --threads 3 --seed 11 --hidden-size 5 --normalize"
    assert train_script("pytorch_mnist.py", f"{flags} --test-each-epoch") == {
        "lr": 0.7,
        "weight_decay": 0,
        "batch_size": 100,
        "darkest": -0.4236,  # (0 - 0.1305) / 0.3081
        "num_images": 600,
        "seed": 11,
        "threads": 3,
        "parameters": 784 * 5 + 5 + 5 * 10 + 10,
    }
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0].split(":")[0] for line in lines if line] == [
        *("Epoch [1/2]", "Test data results", "Epoch [2/2]", "Test data results")
    ]


def test_so_do_those_of_the_convolutional_networks_script(train_script, tmp_path):
    flags = "--net relu --weight-decay 0.02 --extend-data --lr 0.7 --epochs 1 --batch-size 300"
    seen = train_script("pytorch_mnist_convnet.py", f"{flags} --save-model {tmp_path / 'model.pt'}")
    assert (seen["weight_decay"], seen["num_images"], seen["lr"]) == (0.02, 3000, 0.7)
    assert (seen["batch_size"], seen["threads"], seen["darkest"]) == (300, 2, 0)
    trained = models.load(tmp_path / "model.pt")  # the file says which of two like ones it is
    assert type(trained.net) is pytorch_mnist_convnet.ConvNetTwoConvRelu


@pytest.mark.parametrize("script", ["pytorch_mnist.py", "backprop_manual_mnist.py"])
def test_the_seed_decides_the_weights_and_the_order_of_the_images(run_script, tmp_path, script):
    def train(seed):
        file = tmp_path / "model.pt"
        run_script(script, "--epochs", 1, "--seed", seed, "--save-model", file)
        return states.read(file)["output_layer.weight"]

    first = train(1)
    assert torch.equal(train(1), first)
    assert not torch.equal(train(2), first)


@pytest.mark.parametrize(
    "script", ["pytorch_mnist.py", "backprop_manual_mnist.py", "pytorch_mnist_convnet.py"]
)
def test_the_data_folder_reaches_the_training(run_script, tmp_path, script):
    with pytest.raises(RefusedError, match=r"missing in|no MNIST files in"):
        (tmp_path / "MNIST" / "raw").mkdir(parents=True)
        (tmp_path / "MNIST" / "raw" / "train-labels-idx1-ubyte").touch()
        run_script(script, "--data-root", tmp_path)
