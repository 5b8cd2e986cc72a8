import inspect
import re

import pytest
import textbook
import torch
from torch import nn

import common
import pytorch_mnist
from mnist import files as mnist_files
from training import run


def test_constants():
    assert pytorch_mnist.INPUT_SIZE == 784
    assert pytorch_mnist.OUTPUT_SIZE == 10
    assert pytorch_mnist.NUM_EPOCHS == 30
    assert pytorch_mnist.LEARNING_RATE == 3.0
    assert pytorch_mnist.transform_expected_output is common.expand_expected_output
    assert pytorch_mnist.expand_expected_output is common.expand_expected_output
    assert pytorch_mnist.expand_single_output is common.expand_single_output


def test_net_is_the_textbook_s_with_pytorch_s_initialisation():
    torch.manual_seed(1)
    net = pytorch_mnist.Net()
    torch.manual_seed(1)
    expected = textbook.create_net()

    assert isinstance(net, nn.Module)
    assert [name for name, _ in net.named_children()] == ["hidden_layer", "output_layer"]
    assert all(map(torch.equal, net.parameters(), expected.parameters()))
    rows = torch.rand(7, 784)
    assert torch.equal(net(rows), expected(rows))


def test_reshaper_flattens_images():
    reshape_input = pytorch_mnist.create_input_reshaper()
    images = torch.rand(3, 1, 28, 28)
    assert torch.equal(reshape_input(images), images.reshape(3, 784))
    assert reshape_input(torch.rand(1, 28, 28)).shape == (1, 784)


@pytest.mark.parametrize("shape", [(10, 1, 28, 27), (28, 1, 28, 27), (28, 28), (784,), (), (2, 3)])
def test_reshaper_refuses_other_images(shape):
    # 28 images of 28 x 27 would make 27 whole rows of 784, of parts of different images.
    with pytest.raises(ValueError, match=re.escape(str(list(shape)))):
        pytorch_mnist.create_input_reshaper()(torch.zeros(shape))


def test_loss_function_expands_the_labels():
    calc_loss = pytorch_mnist.create_loss_function(nn.MSELoss())
    outputs = torch.rand(4, 10, dtype=torch.float64)
    labels = torch.tensor([3, 0, 9, 3])
    total = sum(
        (outputs[i, j].item() - (labels[i].item() == j)) ** 2 for i in range(4) for j in range(10)
    )
    assert calc_loss(outputs, labels).item() == pytest.approx(total / 40, rel=1e-12)


def test_run_network_takes_the_net_and_keyword_settings():
    parameters = list(inspect.signature(pytorch_mnist.run_network).parameters.values())
    parameters += list(inspect.signature(run.train_and_test).parameters.values())[3:]
    of_the_script = {"optimizer", "resume_only_with"}
    keywords = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name not in of_the_script]
    assert [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD] == ["net"]
    assert {p.name: p.default for p in keywords} == {
        "epochs": 30,
        "lr": 3.0,
        "batch_size": 10,
        "threads": 1,
        "compile": False,
        "data_root": "./data",
        "save_model": None,
        "checkpoint": None,
        "test_each_epoch": False,
        "extend_data": False,
    }


def test_run_network_leaves_the_thread_count_alone(monkeypatch):
    counts = []
    monkeypatch.setattr(
        common, "train_network", lambda *_, **__: counts.append(torch.get_num_threads())
    )
    before = torch.get_num_threads()
    pytorch_mnist.run_network(pytorch_mnist.Net(), threads=2)
    assert (counts, torch.get_num_threads()) == ([2], before)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"epochs": 0}, ValueError),
        ({"epochs": -1}, ValueError),
        ({"lr": 0}, ValueError),
        ({"lr": -3.0}, ValueError),
        ({"lr": float("nan")}, ValueError),
        ({"lr": float("inf")}, ValueError),
        ({"batch_size": 0}, ValueError),
        ({"batch_size": -10}, ValueError),
        ({"save_model": "no/such/folder/model.pt"}, OSError),
    ],
)
def test_run_network_refuses_bad_settings_before_it_trains(settings, error, capsys):
    net = pytorch_mnist.Net()
    before = [parameter.clone() for parameter in net.parameters()]
    with pytest.raises(error):
        pytorch_mnist.run_network(net, **settings)
    assert all(map(torch.equal, net.parameters(), before))
    assert capsys.readouterr().out == ""


def test_one_epoch_from_another_folder_offline_equals_the_textbook(one_epoch):
    """The whole script, as a user starts it, against the textbook pipeline: every digit."""
    result, folder = one_epoch
    assert result.returncode == 0
    version = torch.__version__
    assert result.stderr == f"seed 3, device cpu, 1 CPU thread(s), torch {version}\n"

    torch.manual_seed(3)
    net = textbook.create_net()
    root = mnist_files.find_root()
    with run.use_threads(1):
        loader = textbook.create_loader(textbook.create_dataset(root))
        lines = list(textbook.train(loader, net, epochs=1))
    test_set = textbook.create_dataset(root, train=False)
    result_of_textbook = textbook.test(textbook.create_loader(test_set, shuffle=False), net)

    assert result.stdout.splitlines() == [*lines, "", f"Test data results: {result_of_textbook}"]
    assert result_of_textbook >= 0.9

    assert [file.name for file in folder.iterdir()] == ["model.pt"]
    saved = torch.load(folder / "model.pt", weights_only=True)
    assert list(saved) == [name for name, _ in pytorch_mnist.Net().named_parameters()]
    assert all(map(torch.equal, saved.values(), net.parameters()))
