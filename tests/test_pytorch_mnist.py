import inspect
import sys
from types import SimpleNamespace

import pytest
import textbook
import torch
from conftest import cut
from torch import nn
from torch.utils.data import TensorDataset
from torchvision import datasets, transforms

import common
import pytorch_mnist
from training import command_line, saved
from training.run import Run

SCRIPTS = ["pytorch_mnist.py", "backprop_manual_mnist.py"]


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
    assert torch.equal(net(rows.view(7, 1, 28, 28)), expected(rows))
    torch.testing.assert_close(net(rows[0]), expected(rows)[0])  # a single one gives [10]


def test_reshaper_flattens_images():
    reshape_input = pytorch_mnist.create_input_reshaper()
    images = torch.rand(3, 1, 28, 28)
    assert torch.equal(reshape_input(images), images.reshape(3, 784))
    assert reshape_input(torch.rand(1, 28, 28)).shape == (1, 784)


@pytest.mark.parametrize("shape", [(10, 1, 28, 27), (28, 1, 28, 27), (28, 28), (784,), (), (2, 3)])
def test_reshaper_refuses_other_images(shape):
    # 28 images of 28 x 27 would make 27 whole rows of 784, of parts of different images.
    with pytest.raises((RuntimeError, TypeError), match=r"invalid for input of size|0-d tensor"):
        pytorch_mnist.create_input_reshaper()(torch.zeros(shape))


def test_loss_function_expands_the_labels():
    calc_loss = pytorch_mnist.create_loss_function(nn.MSELoss())
    outputs = torch.rand(4, 10, dtype=torch.float64)
    labels = torch.tensor([3, 0, 9, 3])
    total = sum(
        (outputs[i, j].item() - (labels[i].item() == j)) ** 2 for i in range(4) for j in range(10)
    )
    assert calc_loss(outputs, labels).item() == pytest.approx(total / 40, rel=1e-12)


def test_the_loss_can_be_mapped_over_images():
    calc_loss = pytorch_mnist.create_loss_function(nn.MSELoss())
    outputs, labels = torch.rand(4, 10), torch.tensor([3, 0, 9, 3])
    losses = torch.func.vmap(calc_loss)(outputs, labels)
    torch.testing.assert_close(losses.mean(), calc_loss(outputs, labels))


def record_training(**settings):
    """Return what a training by `run_network` is given: epochs, learning rate, batch sizes."""
    given = []

    def train_network(loader, net, num_epochs, optimizer, *_):
        given.extend([num_epochs, optimizer.param_groups[0]["lr"], loader.batch_size])

    def test_network(loader, *_):
        given.append(loader.batch_size)

    loops = SimpleNamespace(train_network=train_network, test_network=test_network)
    pytorch_mnist.run_network(pytorch_mnist.Net(), loops, **settings)
    return given


def test_run_network_s_settings_and_constants_have_their_effect(small_mnist, monkeypatch):
    parameters = inspect.signature(pytorch_mnist.run_network).parameters.values()
    names = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert names == ["net", "loops"]
    assert record_training() == [30, 3.0, 10, 10]
    assert record_training(epochs=2, lr=0.5, batch_size=600) == [2, 0.5, 600, 600]
    monkeypatch.setattr(pytorch_mnist, "NUM_EPOCHS", 1)
    monkeypatch.setattr(pytorch_mnist, "LEARNING_RATE", 0.25)
    monkeypatch.setattr(common, "BATCH_SIZE", 20)
    assert record_training() == [1, 0.25, 20, 20]


def test_one_epoch_from_another_folder_offline_equals_the_textbook(one_epoch, textbook_root):
    """The whole script, as a user starts it, against the textbook's loops: every digit."""
    version = torch.__version__
    assert one_epoch.stderr == f"seed 3, device cpu, 1 CPU thread(s), torch {version}\n"

    torch.manual_seed(3)
    net = textbook.create_net()
    train_set, test_set = (  # as ToTensor makes them, but all images at once
        TensorDataset(dataset.data[:, None] / 255, dataset.targets)
        for dataset in (datasets.MNIST(textbook_root, train) for train in (True, False))
    )
    loader = textbook.create_loader(train_set, batch_size=40)
    lines = list(textbook.train(loader, net, epochs=1))
    result_of_textbook = textbook.test(textbook.create_loader(test_set, shuffle=False), net)

    assert one_epoch.stdout.splitlines() == [*lines, "", f"Test data results: {result_of_textbook}"]
    assert result_of_textbook >= 0.8

    assert one_epoch.left == ["model.pt"]
    state = torch.load(one_epoch.model, weights_only=True)
    assert list(state) == [name for name, _ in pytorch_mnist.Net().named_parameters()]
    assert all(map(torch.equal, state.values(), net.parameters()))


def test_the_script_leaves_its_network_at_the_prompt(small_mnist, run_script, capsys):
    """What `python -i pytorch_mnist.py` leaves: the names of the script as `__main__`."""
    names = run_script("pytorch_mnist.py", "--epochs=1", "--seed=1")
    network, images = names["network"], torch.rand(2, 784)
    torch.manual_seed(1)
    assert type(network) is names["Net"]
    assert not torch.equal(network(images), pytorch_mnist.Net()(images))  # it is trained


@pytest.mark.parametrize("script", SCRIPTS)
def test_thirty_hidden_neurons_work_everywhere(script, small_mnist, tmp_path, run_script, capsys):
    file, checkpoint = tmp_path / "model.pt", tmp_path / "checkpoint"
    flags = f"--epochs 1 --save-model {file} --checkpoint {checkpoint} --hidden-size".split()
    network = run_script(script, *flags, 30)["network"]
    assert network.hidden_layer.weight.shape == (30, 784)
    for written in (file, checkpoint):
        restored = saved.load(written).net
        assert all(map(torch.equal, restored.parameters(), network.parameters()))
    with pytest.raises(common.RefusedError, match=r"hidden_layer.*\b30\b"):
        run_script(script, *flags, 20)


@pytest.mark.parametrize("script", [*SCRIPTS, "pytorch_mnist_convnet.py"])
def test_the_network_goes_to_the_device_of_the_flag(script, run_script, monkeypatch):
    """On "meta", which holds no values, it can't be trained: so it isn't."""
    devices = []

    def stop(run, loader, net, *_):
        devices.append(common.get_device(net).type)
        sys.exit()

    monkeypatch.setitem(command_line.FLAGS, "device", (torch.device, "NAME", "any"))
    monkeypatch.setattr(Run, "train_network", stop)
    with pytest.raises(SystemExit):
        run_script(script, "--device=meta")
    assert devices == ["meta"]


@pytest.mark.parametrize("normalize", [False, True])
def test_inputs_are_prepared_as_torchvision_does_in_training_and_test(
    normalize, small_mnist, textbook_root, tmp_path, capsys
):
    steps = [transforms.ToTensor()]
    if normalize:
        steps.append(transforms.Normalize((0.1305,), (0.3081,)))
    train_set, test_set = (
        cut(datasets.MNIST(textbook_root, is_train, transforms.Compose(steps)), 600)
        for is_train in (True, False)
    )
    torch.manual_seed(1)
    expected = textbook.create_net()
    list(textbook.train(textbook.create_loader(train_set), expected, epochs=1))

    torch.manual_seed(1)
    net, file = pytorch_mnist.Net(), tmp_path / "model.pt"
    seen = []
    net.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    data = {"transform": common.normalized_transformations} if normalize else {}
    with Run(data=data, save_model=file) as run:
        pytorch_mnist.run_network(net, run, epochs=1, **data)
    assert all(map(torch.equal, net.parameters(), expected.parameters()))
    test_images = torch.stack([image for image, _ in test_set])
    assert torch.equal(torch.cat(seen[60:]), test_images.flatten(1))
    assert saved.load(file).normalize is normalize
    assert list(torch.load(file)) == list(net.state_dict())  # a plain one, all the same
