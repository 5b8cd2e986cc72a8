"""A file that a training has written gives the network that was trained, inputs and outputs too."""

import functools
import importlib

import pytest
import torch
from torch import nn
from torchvision import datasets, transforms

import common
import pytorch_mnist
import pytorch_mnist_convnet
from common import RefusedError
from files import models, states

KINDS = ("save_model", "checkpoint")
NORMALIZE = transforms.Normalize((0.1305,), (0.3081,))


@pytest.fixture
def images(textbook_root):
    """The first test images [20, 1, 28, 28], by torchvision's own data set."""
    dataset = datasets.MNIST(textbook_root, train=False, transform=transforms.ToTensor())
    return torch.stack([dataset[index][0] for index in range(20)])


@pytest.mark.parametrize("normalize", [False, True])
def test_a_trained_network_is_read_with_all_that_belongs_to_it(
    small_mnist, tmp_path, images, normalize
):
    for net, run_network in (
        (pytorch_mnist.Net(30), pytorch_mnist.run_network),
        (pytorch_mnist_convnet.ConvNetTwoConvRelu(), pytorch_mnist_convnet.run_network),
    ):
        files = {name: tmp_path / f"{type(net).__name__}.{name}" for name in KINDS}
        settings = {"epochs": 1, "lr": 0.1, "batch_size": 300, "threads": 1}
        run_network(net, normalize=normalize, **settings, **files)
        with torch.no_grad():
            expected = net(NORMALIZE(images) if normalize else images)
        if isinstance(net, pytorch_mnist_convnet.ConvNetTwoConvRelu):
            expected = nn.functional.softmax(expected, dim=1)
        for file in files.values():
            trained = models.load(file)
            assert type(trained.net) is type(net)
            assert torch.allclose(trained(images), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", models.NETWORKS)
def test_a_file_of_weights_only_is_recognised_by_its_layers(tmp_path, images, name):
    file = tmp_path / "model.pt"
    is_dense = name == "dense"
    network = pytorch_mnist.Net if is_dense else pytorch_mnist_convnet.DESIGNS[name].network
    net = network().eval()
    torch.save(net.state_dict(), file)
    if name in ("2conv", "relu"):
        with pytest.raises(RefusedError, match="holds a 2conv or a relu network, which look alike"):
            models.load(file)
    read = models.load(file, name if name in ("2conv", "relu") else None)
    with torch.no_grad():
        expected = net(images) if is_dense else net(images).softmax(dim=1)
    assert torch.equal(read(images), expected)


def test_a_compiled_network_of_another_size_is_recognised_too(tmp_path):
    state = {
        f"_orig_mod.{name}": value for name, value in pytorch_mnist.Net(7).state_dict().items()
    }
    torch.save(state, tmp_path / "model.pt")
    assert models.load(tmp_path / "model.pt").net.hidden_size == 7


def test_a_model_of_the_older_format_keeps_its_normalized_inputs(tmp_path):
    state = pytorch_mnist.Net().state_dict()
    for is_normalized in (True, False):
        state._metadata[""]["normalized"] = is_normalized
        torch.save(state, tmp_path / "model.pt")
        assert models.load(tmp_path / "model.pt").normalize is is_normalized


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"network": "mine.Net"}, "class mine.Net, which is not in a script of this folder"),
        ({"network": "os.system"}, "class os.system, which is not in a script of this folder"),
        ({"network": "pytorch_mnist.Nothing"}, "but pytorch_mnist.py has no such class"),
        ({"network": "pytorch_mnist.create_input_reshaper"}, "has no such class"),
        ({"network": 5}, "doesn't say which network it holds"),
        ({"transform": None}, "doesn't say which network it holds"),
        ({"arguments": {"hidden_size": 10**12}}, r"shape \[100, 784\], not \[1000000000000, 784\]"),
        ({"arguments": {"hidden_size": -1}}, "a network Net of {'hidden_size': -1}"),
        ({"arguments": {"size": 1}}, "a network Net of {'size': 1}"),
    ],
)
def test_a_description_that_can_t_be_followed_is_refused(tmp_path, change, message):
    net, file = pytorch_mnist.Net(), tmp_path / "model.pt"
    description = states.describe(net, nn.MSELoss(), common.transformations)
    states.save_model(net, file, description | change)
    with pytest.raises(RefusedError, match=message):
        models.load(file)


def test_log_probabilities_become_probabilities(tmp_path, images):
    """As of a network that ends in `log_softmax` and is trained on `NLLLoss`."""
    net, file = pytorch_mnist.Net(), tmp_path / "model.pt"
    states.save_model(net, file, states.describe(net, nn.NLLLoss(), common.transformations))
    with torch.no_grad():
        expected = net(images).softmax(dim=1)
    assert torch.allclose(models.load(file)(images), expected)


def test_weights_that_are_not_finite_and_other_networks_are_refused(tmp_path):
    net, file = pytorch_mnist.Net(), tmp_path / "model.pt"
    nn.init.constant_(net.output_layer.bias, float("nan"))
    torch.save(net.state_dict(), file)
    with pytest.raises(RefusedError, match=r"not finite, in output_layer\.bias"):
        models.load(file)
    torch.save(nn.Linear(784, 10).state_dict(), file)
    with pytest.raises(RefusedError, match="none of dense, simple, 2conv, relu, final; in Python"):
        models.load(file)


def test_a_network_that_comes_from_its_training_drops_nothing(images):
    net = pytorch_mnist_convnet.ConvNetFinal().train()
    network = models.TrainedNetwork(net, softmax=True)
    assert torch.equal(network(images), network(images))


SCRIPT = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, dropout=0.2):
        super().__init__()
        self.dropout = dropout
        rates = [rate.item() for rate in torch.linspace(0, dropout, 2)]
        self.layers = nn.Sequential(nn.Flatten(), nn.Dropout(rates[1]), nn.Linear(784, 10))

    def forward(self, x):
        return self.layers(x)
"""


def test_a_script_may_have_any_name_and_read_numbers_of_tensors(tmp_path, monkeypatch, images):
    (tmp_path / "my-experiment.py").write_text(SCRIPT)
    monkeypatch.setattr(models, "PROJECT", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    net = importlib.import_module("my-experiment").Net(0.4).eval()
    loss = functools.partial(nn.functional.cross_entropy, label_smoothing=0.1)
    description = states.describe(net, loss, None)
    states.save_model(net, tmp_path / "model.pt", description)
    read = models.load(tmp_path / "model.pt")
    assert read.net.dropout == 0.4
    with torch.no_grad():
        assert torch.equal(read(images), net(images).softmax(dim=1))
    states.save_model(net, tmp_path / "model.pt", description | {"network": "../my-experiment.Net"})
    with pytest.raises(RefusedError, match=r"not in a script of this folder"):
        models.load(tmp_path / "model.pt")


class OwnLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(28, 28, 10))

    def forward(self, x):
        return torch.einsum("nchw,hwd->nd", x, self.weight)


class RowByRow(nn.Module):
    """Reads an image's rows one after the other."""

    def __init__(self):
        super().__init__()
        self.rows = nn.LSTM(28, 20, batch_first=True)
        self.output_layer = nn.Linear(20, 10)

    def forward(self, x):
        return self.output_layer(self.rows(x.squeeze(1))[0][:, -1])


class LastLayerFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.output_layer = nn.Linear(20, 10)
        self.hidden_layer = nn.Linear(784, 20)

    def forward(self, x):
        return self.output_layer(self.hidden_layer(x))


class UnitRows(nn.Module):
    """Takes images, too, but would make something else of them."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(784, 10)

    def forward(self, x):
        return self.layer(nn.functional.normalize(x, dim=1).flatten(start_dim=1))


class OwnLayerOfRows(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(784, 10) / 28)

    def forward(self, x):
        (number, pixels) = x.shape
        return x.view(number, pixels) @ self.weight


UNUSUAL_NETS = {
    "of rows": LastLayerFirst,
    "of rows of length 1": UnitRows,
    "of rows, by a layer of one's own": OwnLayerOfRows,
    "in float64": lambda: nn.Sequential(nn.Linear(784, 10)).double(),
    "in bfloat16": lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).bfloat16(),
    "of a layer of one's own": OwnLayer,
    "of a reader of rows": RowByRow,
    "of smaller images": lambda: nn.Sequential(
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(14 * 14, 10)
    ),
    "without parameters": lambda: nn.Sequential(nn.AdaptiveAvgPool2d((1, 10)), nn.Flatten()),
}


@pytest.mark.parametrize("name", UNUSUAL_NETS)
def test_an_unusual_network_gets_its_images_as_it_wants_them(images, name):
    torch.manual_seed(1)
    net = UNUSUAL_NETS[name]()
    outputs = models.TrainedNetwork(net)(images)
    assert outputs.dtype == torch.float32
    takes_rows = name == "in float64" or name.startswith("of rows")
    inputs = images.flatten(start_dim=1) if takes_rows else images
    with torch.no_grad():
        expected = net.double()(inputs.double()).float()
    tolerance = 0.02 if name == "in bfloat16" else 1e-5
    torch.testing.assert_close(outputs, expected, rtol=1e-5, atol=tolerance)


def test_other_outputs_than_ten_an_image_are_refused(images):
    for net in (nn.Conv2d(1, 10, 28), nn.Linear(784, 2), nn.LSTM(784, 10)):
        with pytest.raises(RefusedError, match=r"gives .* for 20 images, not \[20, 10\]"):
            models.TrainedNetwork(net)(images)


def test_grey_levels_are_no_images(images):
    with pytest.raises(RefusedError, match=r"not torch\.uint8: divide by 255"):
        models.TrainedNetwork(pytorch_mnist.Net())((images * 255).byte())


def test_a_network_s_own_error_is_shown(images):
    net = nn.Sequential(nn.Conv2d(1, 4, 5), nn.Flatten(), nn.Linear(100, 10))
    with pytest.raises(RuntimeError, match=r"\(20x2304 and 100x10\)"):
        models.TrainedNetwork(net)(images)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_images_go_to_the_network_and_its_outputs_come_back(images):
    net = pytorch_mnist.Net()
    expected = models.TrainedNetwork(net)(images)
    outputs = models.TrainedNetwork(net.to("cuda"))(images)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-5)
