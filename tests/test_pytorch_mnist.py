import inspect
import re

import pytest
import textbook
import torch
from conftest import NO_NETWORK, PROJECT
from torch import nn

import common
import mnist_files
import pytorch_mnist

SCRIPT = PROJECT / "pytorch_mnist.py"


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
    assert [(p.name, p.kind.name) for p in parameters[:1]] == [("net", "POSITIONAL_OR_KEYWORD")]
    assert {p.name: p.default for p in parameters[1:]} == {
        "epochs": 30,
        "lr": 3.0,
        "batch_size": 10,
        "data_root": "./data",
        "save_model": None,
    }
    assert {p.kind for p in parameters[1:]} == {inspect.Parameter.KEYWORD_ONLY}


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


def test_one_epoch_from_another_folder_offline_equals_the_textbook(run, tmp_path):
    """The whole script, as a user starts it, against the textbook pipeline: every digit."""
    arguments = "--epochs 1 --seed 8 --device cpu --save-model model.pt"
    result = run(SCRIPT, *arguments.split(), env=NO_NETWORK)
    assert result.returncode == 0

    threads = torch.get_num_threads()
    version = torch.__version__
    assert result.stderr == f"seed 8, device cpu, {threads} CPU threads, torch {version}\n"

    torch.manual_seed(8)
    net = textbook.create_net()
    root = mnist_files.find_root()
    lines = textbook.train(textbook.create_loader(textbook.create_dataset(root)), net, epochs=1)

    test_set = textbook.create_dataset(root, train=False)
    images, labels = next(iter(textbook.create_loader(test_set, 10000, shuffle=False)))
    correct = (net(images.reshape(-1, 784)).argmax(1) == labels).sum().item()

    assert result.stdout.splitlines() == [*lines, "", f"Test data results: {correct / 10000}"]
    assert correct >= 9000

    assert [file.name for file in tmp_path.iterdir()] == ["model.pt"]
    saved = torch.load(tmp_path / "model.pt", weights_only=True)
    assert list(saved) == [name for name, _ in pytorch_mnist.Net().named_parameters()]
    assert all(map(torch.equal, saved.values(), net.parameters()))
