"""What happens around a training's epochs, and that each setting has its effect."""

import itertools

import pytest
import torch
from mnist.images import keep_first
from torch import nn

import backprop_manual_mnist
import common
import pytorch_mnist
import pytorch_mnist_convnet
from files import models
from training import command_line, run
from training.run import start_run


@pytest.fixture
def net():
    return pytorch_mnist.Net()


@pytest.fixture
def loader():
    return common.get_loader(keep_first(common.get_dataset(train=False), 30))


def create_sgd(net):
    return torch.optim.SGD(net.parameters(), lr=0.5)


def test_it_yields_the_epochs(net, loader):
    with start_run(net, create_sgd(net), loader, 3, None) as epochs:
        assert list(epochs) == [1, 2, 3]


def test_threads_are_used_within_the_block_only(net, loader):
    before = torch.get_num_threads()
    with pytest.raises(KeyError), start_run(net, create_sgd(net), loader, 3, None, threads=3):
        assert torch.get_num_threads() == 3
        raise KeyError
    assert torch.get_num_threads() == before


def test_testing_each_epoch_leaves_the_training_as_it_is(small_mnist, capsys):
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
    assert kinds == ["Epoch", "Test"] * 3 + ["", "Test"]
    assert [*tested_lines[:6:2], *tested_lines[6:]] == lines
    assert tested_lines[5] == tested_lines[7]


@pytest.mark.parametrize(
    "train_network", [common.train_network, backprop_manual_mnist.train_network]
)
def test_the_epochs_may_change_the_learning_rate_and_stop(net, loader, capsys, train_network):
    """A generator around them: a schedule, and early stopping. Each epoch has its rate."""
    sgd = create_sgd(net)
    arguments = (
        pytorch_mnist.create_input_reshaper(),
        pytorch_mnist.create_loss_function(nn.MSELoss()),
    )

    def schedule(epochs):
        for epoch in epochs:
            sgd.param_groups[0]["lr"] = 2.0 if epoch == 1 else 0.0
            yield epoch
            weights.append(net.hidden_layer.weight.detach().clone())
            if epoch == 3:
                return

    weights = [net.hidden_layer.weight.detach().clone()]
    with start_run(net, sgd, loader, 9, None) as epochs:
        train_network(loader, net, 9, sgd, *arguments, epochs=schedule(epochs))
    assert len(weights) == 4
    assert [torch.equal(*pair) for pair in itertools.pairwise(weights)] == [
        False,
        True,
        True,
    ]
    steps = [line.split(", Loss")[0] for line in capsys.readouterr().out.splitlines()]
    assert steps == [f"Epoch [{epoch}/9], Step [3/3]" for epoch in (1, 2, 3)]


# Files


def refuse(match, net, loader, num_epochs=3, **files):
    with (
        pytest.raises((OSError, ValueError), match=match),
        start_run(net, create_sgd(net), loader, num_epochs, None, **files),
    ):
        pytest.fail("it has begun to train")


def test_the_model_is_saved_at_the_end_and_only_then(net, loader, tmp_path):
    file = tmp_path / "model.pt"
    with (
        pytest.raises(RuntimeError, match="the loss is nan"),
        start_run(net, create_sgd(net), loader, 1, None, save_model=file),
    ):
        raise RuntimeError("the loss is nan")
    assert not file.exists()
    for value in (1.0, 2.0):  # the second time, it replaces the first one
        with start_run(net, create_sgd(net), loader, 1, None, save_model=file) as epochs:
            nn.init.constant_(net.output_layer.bias, value)
            assert list(epochs) == [1]
        assert common.load_network(pytorch_mnist.Net(), file).output_layer.bias[0] == value


def test_a_saved_model_knows_that_its_inputs_were_normalized(net, tmp_path):
    file = tmp_path / "model.pt"
    for transform in (common.normalized_transformations, common.transformations):
        loader = common.get_loader(common.get_dataset(train=False, transform=transform))
        with start_run(net, create_sgd(net), loader, 1, None, save_model=file):
            pass
        is_normalized = transform is common.normalized_transformations
        assert models.is_normalized(models.read_state(file)) is is_normalized


def test_no_two_of_its_files_may_be_one(net, loader, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refuse("model and log can't be", net, loader, save_model="file", log="./file")
    refuse("checkpoint and log can't be", net, loader, checkpoint="file", log="./file")
    (tmp_path / "link").symlink_to("file")
    for exists in (False, True):
        for name in ("file", "./file", "link", tmp_path / "file"):
            match = "model and checkpoint can't be the same file"
            refuse(match, net, loader, save_model=name, checkpoint="file")
        if not exists:
            with start_run(net, create_sgd(net), loader, 1, None, checkpoint="file") as epochs:
                assert list(epochs) == [1]


def test_files_that_can_t_be_written_are_refused_before_the_training(net, loader, tmp_path):
    for name in ("save_model", "checkpoint"):
        refuse("names no file", net, loader, **{name: ""})
        refuse("names no file", net, loader, **{name: f"{tmp_path}/new/"})
        refuse("there is no folder", net, loader, **{name: "no/folder/file"})
        refuse("is not a regular file", net, loader, **{name: tmp_path})
    (tmp_path / "thesis").write_text("my thesis")
    refuse("is not a saved network", net, loader, save_model=tmp_path / "thesis")
    assert [file.name for file in tmp_path.iterdir()] == ["thesis"]
    assert (tmp_path / "thesis").read_text() == "my thesis"


def test_no_epochs_are_refused(net, loader):
    refuse("must be at least 1, not 0", net, loader, num_epochs=0)


def test_a_checkpoint_is_of_one_training_only(small_mnist, tmp_path):
    """Other settings are refused by name, and other data."""
    net = pytorch_mnist_convnet.ConvNetSimple()
    file = tmp_path / "file"
    settings = {"epochs": 1, "lr": 0.1, "batch_size": 300, "checkpoint": file}
    pytorch_mnist_convnet.run_network(net, **settings)
    content = file.read_bytes()
    for change, match in (
        ({"lr": 0.2}, "lr is 0.2, there 0.1"),
        ({"batch_size": 200}, "batch_size is 200, there 300"),
        ({"weight_decay": 0.01}, "weight_decay is 0.01, there 0.0"),
        ({"extend_data": True}, "num_images is 3000, there 600"),
    ):
        with pytest.raises(ValueError, match=f"another training \\({match}\\)"):
            pytorch_mnist_convnet.run_network(net, **settings | {"epochs": 2} | change)

    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    for transform, compile, match in (
        (common.normalized_transformations, False, "transform is .*Normalize.*, there 'Compose"),
        (common.transformations, True, r"\(compile is True, there False\)"),
    ):
        loader = common.get_loader(common.get_dataset(transform=transform), batch_size=300)
        with (
            pytest.raises(ValueError, match=match),
            start_run(net, sgd, loader, 2, None, compile=compile, checkpoint=file) as epochs,
        ):
            next(iter(epochs))
    assert file.read_bytes() == content


# Every flag reaches the training


class Seen(Exception):
    """Ends a run whose settings have been looked at."""


@pytest.fixture
def parse(monkeypatch):
    """Return a function that runs a script's main with flags, and returns what it trains with."""

    def parse(main, flags):
        def train_network(loader, net, epochs, optimizer, reshape_input, calc_loss, *, epochs_left):
            (group,) = optimizer.param_groups
            seen.update(
                epochs=epochs,
                epochs_left=list(epochs_left),
                lr=group["lr"],
                weight_decay=group["weight_decay"],
                batch_size=len(next(iter(loader))[0]),
                num_images=len(loader.dataset),
                seed=torch.initial_seed(),
                threads=torch.get_num_threads(),
            )
            raise Seen

        def train(*arguments, epochs):
            train_network(*arguments, epochs_left=epochs)

        seen = {}
        monkeypatch.setattr("sys.argv", ["script", "--device", "cpu", *flags.split()])
        # The default of an argument is bound when a function is defined.
        monkeypatch.setitem(pytorch_mnist.run_network.__kwdefaults__, "train_network", train)
        monkeypatch.setattr(common, "train_network", train)
        monkeypatch.setattr("training.compiled.train_network", lambda *a, epochs: seen.update(c=1))
        with pytest.raises(Seen):
            main()
        return seen

    return parse


def test_the_flags_of_the_dense_network_s_script_reach_the_training(parse, small_mnist):
    flags = "--epochs 2 --lr 0.7 --batch-size 7 --threads 3 --seed 11"
    assert parse(pytorch_mnist.main, flags) == {
        "epochs": 2,
        "epochs_left": [1, 2],
        "lr": 0.7,
        "weight_decay": 0,
        "batch_size": 7,
        "num_images": 600,
        "seed": 11,
        "threads": 3,
    }


def test_so_do_those_of_the_convolutional_networks_script(parse, small_mnist):
    flags = "--net relu --weight-decay 0.02 --extend-data --lr 0.7 --epochs 1 --batch-size 8"
    seen = parse(pytorch_mnist_convnet.main, flags)
    assert (seen["weight_decay"], seen["num_images"], seen["lr"]) == (0.02, 3000, 0.7)
    assert (seen["epochs_left"], seen["batch_size"], seen["threads"]) == ([1], 8, 2)


def test_the_seed_decides_the_weights_and_the_order_of_the_images(
    small_mnist, monkeypatch, tmp_path
):
    def train(seed):
        file = tmp_path / "model.pt"
        flags = f"--epochs 1 --seed {seed} --device cpu --save-model {file}"
        monkeypatch.setattr("sys.argv", ["script", *flags.split()])
        command_line.run(pytorch_mnist.main)
        return models.read_state(file)["output_layer.weight"]

    first = train(1)
    assert torch.equal(train(1), first)
    assert not torch.equal(train(2), first)


def test_the_threads_are_the_caller_s_again_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(KeyError), run.use_threads(before + 1):
        raise KeyError
    assert torch.get_num_threads() == before
