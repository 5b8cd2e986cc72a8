import importlib
import inspect
import io
import sys

import numpy as np
import pytest
import textbook
import torch
import torchvision
from conftest import FILES, needs_git
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision import datasets, transforms

import common
import pytorch_mnist


@pytest.fixture(scope="module")
def train_set():
    return common.get_dataset()


@pytest.fixture(scope="module")
def test_set():
    return common.get_dataset(train=False)


# The contract's names


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (common.get_dataset, "root train transform download"),
        (common.get_loader, "dataset batch_size shuffle"),
        (common.get_train_loader, ""),
        (common.get_test_loader, ""),
        (common.train_network, "data_loader model num_epochs optimizer reshape_input calc_loss"),
        (common.test_network, "data_loader model reshape"),
        (common.expand_expected_output, "tensor_of_expected_outputs output_size"),
        (common.expand_single_output, "expected_output output_size"),
    ],
)
def test_functions_take_the_contract_s_arguments_in_order(function, parameters):
    names = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    ]
    assert names == parameters.split()


def test_constants_and_defaults():
    assert common.BATCH_SIZE == 10
    assert common.transforms is torchvision.transforms
    assert common.datasets is torchvision.datasets
    assert [type(step) for step in common.transformations.transforms] == [transforms.ToTensor]
    parameters = inspect.signature(common.get_dataset).parameters.values()
    transform = common.transformations
    assert [parameter.default for parameter in parameters] == ["./data", True, transform, True]
    assert inspect.signature(common.get_loader).parameters["shuffle"].default is True


@needs_git
def test_importing_any_module_prints_nothing_and_loads_no_data(monkeypatch, capfd):
    """Anew: PyTorch and the other packages stay imported."""
    names = [file.removesuffix(".py").replace("/", ".") for file in FILES]
    names = [name.removesuffix(".__init__") for name in names]
    for name in names:
        monkeypatch.setitem(sys.modules, name, None)  # afterwards, what is there now is again
        del sys.modules[name]

    def refuse_data(file, *arguments, open=open, **settings):
        assert "ubyte" not in str(file)
        return open(file, *arguments, **settings)

    monkeypatch.setattr("builtins.open", refuse_data)
    for name in names:
        importlib.import_module(name)
    assert capfd.readouterr() == ("", "")


# Data


def test_datasets_are_torchvision_s(train_set, test_set):
    assert (len(train_set), len(test_set)) == (60000, 10000)
    assert isinstance(train_set, datasets.MNIST)
    image, label = train_set[0]
    assert (image.dtype, image.shape, type(label), label) == (torch.float32, (1, 28, 28), int, 5)
    assert 0.0 == image.min() < image.max() <= 1.0


def test_train_loader():
    loader = common.get_train_loader()
    assert isinstance(loader, DataLoader)
    assert (len(loader), loader.batch_size, len(loader.dataset)) == (6000, 10, 60000)
    images, labels = next(iter(loader))
    assert (images.shape, images.dtype) == ((10, 1, 28, 28), torch.float32)
    assert (labels.shape, labels.dtype) == ((10,), torch.int64)


def test_test_loader_keeps_the_file_s_order(test_set):
    loader = common.get_test_loader()
    assert isinstance(loader, DataLoader)
    assert (len(loader), loader.batch_size, len(loader.dataset)) == (1000, 10, 10000)
    labels = torch.cat([labels for _, labels in loader])
    assert labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert torch.equal(labels, test_set.targets)


# Training and testing


def train(loader, net, num_epochs, optimizer=None, *, lr=3.0, loss_function=None):
    """Train as the article does."""
    common.train_network(
        loader,
        net,
        num_epochs,
        optimizer or torch.optim.SGD(net.parameters(), lr=lr),
        pytorch_mnist.create_input_reshaper(),
        loss_function or pytorch_mnist.create_loss_function(nn.MSELoss()),
    )


def test_training_is_the_textbook_s_to_the_last_bit(train_set, textbook_root, capsys):
    """Each printed line, and all weights, with a smaller last batch."""
    num_images, epochs = 3045, 2  # 305 batches an epoch
    torch.manual_seed(11)
    net = pytorch_mnist.Net()
    train(common.get_loader(Subset(train_set, range(num_images))), net, epochs)

    torch.manual_seed(11)
    textbook_net = textbook.create_net()
    textbook_set = textbook.create_dataset(textbook_root, num_images=num_images)
    expected = list(textbook.train(textbook.create_loader(textbook_set), textbook_net, epochs))

    assert capsys.readouterr().out.splitlines() == expected
    assert all(map(torch.equal, net.parameters(), textbook_net.parameters()))


def test_progress_lines_are_flushed_at_once(monkeypatch):
    """So that `| tee` shows them: stdout, a pipe then, has a buffer of kilobytes."""
    pipe = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BufferedWriter(pipe), newline="\n"))
    common.print_progress(1, 30, 100, 6000, 0.08849)
    assert pipe.getvalue() == b"Epoch [1/30], Step [100/6000], Loss: 0.0885\n"
    common.test_network([(torch.ones(1, 1), torch.tensor([0]))], nn.Identity(), lambda x: x)
    assert pipe.getvalue().endswith(b"\nTest data results: 1.0\n")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_training(value, train_set, capsys):
    steps = []

    def calc_loss(outputs, labels):
        steps.append(len(steps) + 1)
        return outputs.sum() * (value if len(steps) == 200 else 1.0)

    loader = common.get_loader(Subset(train_set, range(10000)))
    with pytest.raises(common.RefusedError, match=f"the loss is {value}.*lower learning rate"):
        train(loader, pytorch_mnist.Net(), 5, lr=1e-9, loss_function=calc_loss)
    assert len(steps) == 200
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_result_is_the_fraction_of_right_digits(test_set, capsys):
    class Guess(nn.Module):
        """Says 7 to everything, as the largest of its ten outputs."""

        def forward(self, x):
            return nn.functional.one_hot(torch.full((len(x),), 7), 10).float() - 5

    loader = common.get_loader(Subset(test_set, range(997)), shuffle=False)
    expected = float((test_set.targets[:997].numpy() == 7).mean())
    result = common.test_network(loader, Guess(), lambda x: x)
    assert (type(result), result) == (float, expected)
    assert capsys.readouterr().out == f"Test data results: {expected}\n"


@pytest.mark.parametrize(
    ("outputs", "labels"),
    [
        ([20, 10, 1, 1], [20]),  # as of a network that ends in pooling, without a `Flatten`
        ([1, 10], [20]),
        ([20, 10], [20, 1]),
    ],
)
def test_what_would_be_broadcast_is_refused(outputs, labels):
    batch = torch.rand(outputs), torch.zeros(labels, dtype=torch.int64)
    with pytest.raises(common.RefusedError, match=r"outputs must be \[N, digits\]"):
        common.test_network([batch], nn.Identity(), lambda images: images)
    if len(labels) == 2:
        with pytest.raises(common.RefusedError, match=r"labels must be \[N\], not \[20, 1\]"):
            common.expand_expected_output(batch[1], 10)


def test_dropout_is_on_in_training_and_off_in_testing(train_set):
    modes = []

    class Recorder(nn.Linear):
        def forward(self, x):
            modes.append((self.training, torch.is_grad_enabled()))
            return super().forward(x)

    net = Recorder(784, 10).eval()
    loader = common.get_loader(Subset(train_set, range(10)))
    train(loader, net, 1, lr=0.1)
    reshape_input = pytorch_mnist.create_input_reshaper()
    common.test_network(loader, net, reshape_input)
    assert modes == [(True, True), (False, False)]

    modes.clear()
    loader = common.get_loader(Subset(train_set, range(1010)))

    def test_on_ten(*place):
        common.test_network(common.get_loader(Subset(train_set, range(10))), net, reshape_input)

    sgd = torch.optim.SGD(net.parameters(), lr=0.1)
    calc_loss = pytorch_mnist.create_loss_function(nn.MSELoss())
    common.train_epoch(loader, net, 1, 1, sgd, reshape_input, calc_loss, report=test_on_ten)
    assert modes == [(True, True)] * 100 + [(False, False), (True, True), (False, False)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_follows_the_model_to_cuda(train_set):
    nets = [pytorch_mnist.Net(), pytorch_mnist.Net().to("cuda")]
    nets[1].load_state_dict(nets[0].state_dict())
    for net in nets:
        torch.manual_seed(4)
        train(common.get_loader(Subset(train_set, range(1000))), net, 1)
    for parameter, on_cuda in zip(*(net.parameters() for net in nets), strict=True):
        assert on_cuda.is_cuda
        torch.testing.assert_close(on_cuda.cpu(), parameter, atol=1e-4, rtol=1e-3)


TRANSFORMATIONS = common.transformations, common.normalized_transformations


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("normalize", [False, True])
def test_images_have_the_same_bits_on_cuda(normalize):
    """All 256 grey levels: CUDA divides by a Python number as it pleases."""
    dataset = common.get_dataset(train=False, transform=TRANSFORMATIONS[normalize])
    dataset.data = torch.arange(256, dtype=torch.uint8).expand(10, 256)[:, :, None]
    dataset.targets = dataset.targets[:10]
    (expected,) = common.get_loader(dataset, shuffle=False)
    (batch,) = common.get_loader(dataset.to("cuda"), shuffle=False)
    assert all(tensor.is_cuda for tensor in batch)
    assert torch.equal(batch[0].cpu(), expected[0]) and torch.equal(batch[1].cpu(), expected[1])


def test_batches_go_where_the_model_is(train_set):
    """On "meta", nothing is computed, but each tensor says where it would be."""
    seen = []

    def calc_loss(outputs, labels):
        seen.append((outputs.device.type, labels.device.type))
        raise KeyboardInterrupt  # a loss on "meta" has no value to print

    loader = common.get_loader(Subset(train_set, range(20)))
    with pytest.raises(KeyboardInterrupt):
        train(loader, pytorch_mnist.Net().to("meta"), 1, loss_function=calc_loss)
    assert seen == [("meta", "meta")]


def test_a_loop_of_one_s_own_is_train_network_s(train_set):
    """And it is given the losses with all their digits."""
    loader = common.get_loader(Subset(train_set, range(20)))
    expected, net = pytorch_mnist.Net(), pytorch_mnist.Net()
    net.load_state_dict(expected.state_dict())
    torch.manual_seed(1)
    train(loader, expected, 2)

    sgd = torch.optim.SGD(net.parameters(), lr=3.0)
    reshape_input = pytorch_mnist.create_input_reshaper()
    calc_loss = pytorch_mnist.create_loss_function(nn.MSELoss())
    given = []

    def report(*place_and_loss):
        given.append(place_and_loss)

    torch.manual_seed(1)
    for epoch in (1, 2):
        common.train_epoch(loader, net, epoch, 2, sgd, reshape_input, calc_loss, report=report)
    assert all(map(torch.equal, net.parameters(), expected.parameters()))
    assert [place for *place, _ in given] == [[1, 2, 2, 2], [2, 2, 2, 2]]
    assert all(isinstance(loss, float) and loss != round(loss, 4) for *_, loss in given)


def test_a_training_at_a_prompt_computes_on_one_thread_and_gives_the_others_back(train_set):
    counts = []

    def calc_loss(outputs, labels):
        counts.append(torch.get_num_threads())
        return outputs.sum()

    loader = common.get_loader(Subset(train_set, range(10)))
    torch.set_num_threads(2)
    try:
        train(loader, pytorch_mnist.Net(), 1, lr=0.1, loss_function=calc_loss)
        assert (counts, torch.get_num_threads()) == ([1], 2)
    finally:
        torch.set_num_threads(1)


# One-hot expansion


@given(labels=st.lists(st.integers(0, 99), max_size=30), output_size=st.integers(100, 120))
def test_expansion_puts_a_single_one_at_each_label(labels, output_size):
    labels_tensor = torch.tensor(labels, dtype=torch.int64)
    expanded = common.expand_expected_output(labels_tensor, output_size)
    assert (expanded.shape, expanded.dtype) == ((len(labels), output_size), torch.float32)
    assert np.array_equal(expanded.numpy(), np.eye(output_size)[np.array(labels, dtype=int)])
    assert expanded.tolist() == [common.expand_single_output(n, output_size) for n in labels]


@pytest.mark.parametrize("label", [-1, 10, 1.0])
def test_labels_out_of_range_or_of_another_type_are_refused(label):
    with pytest.raises(RuntimeError):
        common.expand_single_output(label, 10)
    with pytest.raises(RuntimeError, match=r"Class values must be|LongTensor"):
        common.expand_expected_output(torch.tensor([label, label]), 10)
