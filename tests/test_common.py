import inspect

import numpy as np
import pytest
import textbook
import torch
import torchvision
from conftest import PROJECT, assert_same_batches
from hypothesis import given, settings
from hypothesis import strategies as st
from mnist import files as mnist_files
from mnist.images import keep_first
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

import common
import pytorch_mnist

DATA_ROOT = mnist_files.find_root()


@pytest.fixture(scope="module")
def train_set():
    return common.get_dataset()


# The contract's names


@pytest.mark.parametrize(
    ("function", "parameters"),
    [
        (common.get_dataset, "root train transform download"),
        (common.get_loader, "dataset batch_size shuffle"),
        (common.get_train_loader, ""),
        (common.get_test_loader, ""),
        (
            common.train_network,
            "data_loader model num_epochs optimizer reshape_input calc_loss",
        ),
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
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(common.get_dataset).parameters.items()
    }
    assert defaults == {
        "root": "./data",
        "train": True,
        "transform": common.transformations,
        "download": True,
    }
    assert inspect.signature(common.get_loader).parameters["shuffle"].default is True


def test_importing_any_module_prints_nothing_and_loads_no_data(run, packed_root):
    files = [file.relative_to(PROJECT) for file in PROJECT.glob("*.py")]
    files += [file.relative_to(PROJECT) for file in PROJECT.glob("[a-z]*/*.py")]
    modules = ", ".join(
        ".".join(file.with_suffix("").parts)
        for file in files
        if file.parts[0] not in ("tests", "benchmarks") and file.stem != "__init__"
    )
    data = packed_root.rename(packed_root.with_name("data"))  # which loading would unpack
    result = run("-c", f"import {modules}", cwd=data.parent)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert not list(data.glob("**/*-ubyte"))


# Data


def test_datasets_are_torchvision_s(train_set):
    test_set = common.get_dataset(train=False)
    assert (len(train_set), len(test_set)) == (60000, 10000)
    assert isinstance(train_set, datasets.MNIST)
    image, label = train_set[0]
    assert (image.dtype, image.shape, type(label), label) == (torch.float32, (1, 28, 28), int, 5)
    assert 0.0 == image.min() < image.max() <= 1.0


def test_a_caller_s_transform_is_honoured():
    def invert(image):
        return 1 - transforms.functional.to_tensor(image)

    dataset = keep_first(common.get_dataset(transform=invert), 40)
    expected = list(DataLoader(dataset, batch_size=10))
    assert torch.equal(expected[0][0][0], 1 - common.get_dataset()[0][0])
    assert assert_same_batches(common.get_loader(dataset, shuffle=False), expected) == 4

    image, _ = common.get_dataset(train=False, transform=None)[0]
    assert image.size == (28, 28)  # a PIL picture


def test_train_loader():
    loader = common.get_train_loader()
    assert isinstance(loader, DataLoader)
    assert (len(loader), loader.batch_size, len(loader.dataset)) == (6000, 10, 60000)
    images, labels = next(iter(loader))
    assert (images.shape, images.dtype) == ((10, 1, 28, 28), torch.float32)
    assert (labels.shape, labels.dtype) == ((10,), torch.int64)


def test_test_loader_keeps_the_file_s_order():
    loader = common.get_test_loader()
    assert isinstance(loader, DataLoader)
    assert (len(loader), loader.batch_size, len(loader.dataset)) == (1000, 10, 10000)
    textbook_loader = textbook.create_loader(
        textbook.create_dataset(DATA_ROOT, train=False), shuffle=False
    )
    assert assert_same_batches(loader, textbook_loader) == 1000


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_plain_data_loader_gives_the_ordinary_result(num_workers):
    loader = DataLoader(
        keep_first(common.get_dataset(), 50), batch_size=20, num_workers=num_workers
    )
    expected = textbook.create_loader(textbook.create_dataset(DATA_ROOT, num_images=50), 20, False)
    assert assert_same_batches(loader, expected) == 3


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_size_that_is_not_positive_is_refused(train_set, batch_size):
    with pytest.raises(ValueError, match=f"batch_size={batch_size}"):
        common.get_loader(train_set, batch_size)


# Training and testing


def train(loader, net, epochs, capsys):
    optimizer = torch.optim.SGD(net.parameters(), lr=3.0)
    calc_loss = pytorch_mnist.create_loss_function(nn.MSELoss())
    reshape_input = pytorch_mnist.create_input_reshaper()
    common.train_network(loader, net, epochs, optimizer, reshape_input, calc_loss)
    return capsys.readouterr().out.splitlines()


def test_training_is_the_textbook_s_to_the_last_bit(capsys):
    num_images, epochs = 3050, 2  # 305 batches an epoch

    torch.manual_seed(11)
    net = pytorch_mnist.Net()
    lines = train(
        common.get_loader(keep_first(common.get_dataset(), num_images)), net, epochs, capsys
    )

    torch.manual_seed(11)
    textbook_net = textbook.create_net()
    textbook_set = textbook.create_dataset(DATA_ROOT, num_images=num_images)
    expected = list(textbook.train(textbook.create_loader(textbook_set), textbook_net, epochs))

    assert lines == expected
    assert len(lines) == 2 * 4  # steps 100, 200, 300 and the last, 305
    for parameter, expected_parameter in zip(
        net.parameters(), textbook_net.parameters(), strict=True
    ):
        assert torch.equal(parameter, expected_parameter)


def test_progress_lines_have_the_article_s_format(capsys):
    torch.manual_seed(0)
    loader = common.get_loader(keep_first(common.get_dataset(), 1040))
    lines = train(loader, pytorch_mnist.Net(), 2, capsys)
    positions = [line.rsplit(" ", 1)[0] for line in lines]
    assert positions == [
        f"Epoch [{epoch}/2], Step [{step}/104], Loss:" for epoch in (1, 2) for step in (100, 104)
    ]
    assert all(len(line.rsplit(".", 1)[1]) == 4 for line in lines)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_training(capsys, value):
    steps = []

    def calc_loss(outputs, labels):
        steps.append(len(steps) + 1)
        return outputs.sum() * (value if len(steps) >= 150 else 1.0)

    net = pytorch_mnist.Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-9)
    loader = common.get_loader(keep_first(common.get_dataset(), 10000))
    with pytest.raises(RuntimeError, match=r"Epoch \[1/5\], Step \[200/1000\].*learning rate"):
        common.train_network(
            loader, net, 5, optimizer, pytorch_mnist.create_input_reshaper(), calc_loss
        )
    assert len(steps) == 200
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_a_training_that_diverges_is_stopped(capsys):
    net = nn.Linear(784, 10)  # without sigmoids, nothing holds the outputs back
    optimizer = torch.optim.SGD(net.parameters(), lr=3.0)
    loader = common.get_loader(keep_first(common.get_dataset(), 2000))
    reshape_input = pytorch_mnist.create_input_reshaper()
    calc_loss = pytorch_mnist.create_loss_function(nn.MSELoss())
    with pytest.raises(RuntimeError, match=r"the loss is (inf|nan), .*lower learning rate"):
        common.train_network(loader, net, 3, optimizer, reshape_input, calc_loss)
    assert "nan" not in capsys.readouterr().out


def test_result_is_the_fraction_of_right_digits(capsys):
    test_set = keep_first(common.get_dataset(train=False), 997)

    class Guess(nn.Module):
        """Says 7 to everything, as the largest of its ten outputs."""

        def forward(self, x):
            return nn.functional.one_hot(torch.full((len(x),), 7), 10).float() - 5

    expected = (test_set.targets.numpy() == 7).mean()
    result = common.test_network(common.get_loader(test_set, shuffle=False), Guess(), lambda x: x)
    assert type(result) is float
    assert result == expected
    assert capsys.readouterr().out == f"Test data results: {float(expected)}\n"


def test_dropout_is_on_in_training_and_off_in_testing():
    modes = []

    class Recorder(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(784, 10)

        def forward(self, x):
            modes.append((self.training, torch.is_grad_enabled()))
            return self.layer(x)

    net = Recorder().eval()
    loader = common.get_loader(keep_first(common.get_dataset(), 10))
    reshape_input = pytorch_mnist.create_input_reshaper()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    common.train_network(loader, net, 1, optimizer, reshape_input, nn.CrossEntropyLoss())
    common.test_network(loader, net, reshape_input)
    assert modes == [(True, True), (False, False)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_training_follows_the_model_to_cuda(capsys):
    torch.manual_seed(3)
    net = pytorch_mnist.Net()
    on_cuda = pytorch_mnist.Net().to("cuda")
    on_cuda.load_state_dict(net.state_dict())
    loader = common.get_loader(keep_first(common.get_dataset(), 1000))

    torch.manual_seed(4)
    train(loader, net, 1, capsys)
    torch.manual_seed(4)
    train(loader, on_cuda, 1, capsys)

    for parameter, on_cuda_parameter in zip(net.parameters(), on_cuda.parameters(), strict=True):
        assert on_cuda_parameter.is_cuda
        torch.testing.assert_close(on_cuda_parameter.cpu(), parameter, atol=1e-4, rtol=1e-3)


def test_batches_go_where_the_model_is():
    """On "meta", nothing is computed, but each tensor says where it would be."""
    net = pytorch_mnist.Net().to("meta")
    loader = common.get_loader(keep_first(common.get_dataset(), 20))
    seen = []

    def calc_loss(outputs, labels):
        seen.append((outputs.device.type, labels.device.type))
        raise KeyboardInterrupt  # a loss on "meta" has no value to print

    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with pytest.raises(KeyboardInterrupt):
        common.train_network(loader, net, 1, optimizer, lambda i: i.flatten(1), calc_loss)
    assert seen == [("meta", "meta")]


def test_an_empty_loader_has_no_result():
    loader = common.get_loader(keep_first(common.get_dataset(train=False), 0), shuffle=False)
    with pytest.raises(ValueError, match="no images to test"):
        common.test_network(loader, pytorch_mnist.Net(), lambda images: images.flatten(1))


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter([(torch.zeros(1, 28, 28), 5)] * 10)


@pytest.mark.parametrize(
    ("net", "create_optimizer", "loader", "message"),
    [
        (pytorch_mnist.Net().double(), torch.optim.SGD, None, "same dtype.*Float and Double"),
        (pytorch_mnist.Net(), torch.optim.LBFGS, None, "closure"),
        (pytorch_mnist.Net(), torch.optim.SGD, DataLoader(Stream(), 10), r"has no len\(\)"),
    ],
    ids=["float64", "LBFGS", "no length"],
)
def test_what_can_t_be_trained_is_told(net, create_optimizer, loader, message):
    if loader is None:
        loader = common.get_loader(keep_first(common.get_dataset(), 20))
    calc_loss = pytorch_mnist.create_loss_function(nn.MSELoss())
    with pytest.raises((RuntimeError, TypeError), match=message):
        common.train_network(
            loader,
            net,
            1,
            create_optimizer(net.parameters(), lr=0.1),
            pytorch_mnist.create_input_reshaper(),
            calc_loss,
        )


# What happens between epochs is an iterable


def test_a_learning_rate_schedule_is_a_generator_of_epochs(capsys):
    torch.manual_seed(1)
    net = pytorch_mnist.Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=3.0)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    rates = []

    def epochs():
        for epoch in range(1, 4):
            rates.append(optimizer.param_groups[0]["lr"])
            yield epoch
            schedule.step()

    loader = common.get_loader(keep_first(common.get_dataset(), 20))
    reshape_input = pytorch_mnist.create_input_reshaper()
    calc_loss = pytorch_mnist.create_loss_function(nn.MSELoss())
    common.train_network(loader, net, 3, optimizer, reshape_input, calc_loss, epochs=epochs())
    assert rates == [3.0, 1.5, 0.75]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines] == ["Epoch [1/3]", "Epoch [2/3]", "Epoch [3/3]"]


def test_a_generator_that_ends_stops_early(capsys):
    net = pytorch_mnist.Net()
    before = net.hidden_layer.weight.clone()
    optimizer = torch.optim.SGD(net.parameters(), lr=3.0)
    loader = common.get_loader(keep_first(common.get_dataset(), 20))
    reshape_input = pytorch_mnist.create_input_reshaper()
    calc_loss = pytorch_mnist.create_loss_function(nn.MSELoss())
    common.train_network(loader, net, 3, optimizer, reshape_input, calc_loss, epochs=[])
    assert torch.equal(net.hidden_layer.weight, before)
    common.train_network(loader, net, 3, optimizer, reshape_input, calc_loss, epochs=iter([2]))
    assert capsys.readouterr().out.startswith("Epoch [2/3], Step [2/2]")


# One-hot expansion


@given(labels=st.lists(st.integers(0, 99), max_size=30), output_size=st.integers(100, 120))
def test_expansion_puts_a_single_one_at_each_label(labels, output_size):
    labels_tensor = torch.tensor(labels, dtype=torch.int64)
    expanded = common.expand_expected_output(labels_tensor, output_size)
    assert (expanded.shape, expanded.dtype) == ((len(labels), output_size), torch.float32)
    assert np.array_equal(expanded.numpy(), np.eye(output_size)[np.array(labels, dtype=int)])
    assert expanded.tolist() == [common.expand_single_output(n, output_size) for n in labels]


@settings(max_examples=50)
@given(labels=st.lists(st.integers(-20, 30), min_size=1), output_size=st.integers(1, 12))
def test_labels_out_of_range_are_refused(labels, output_size):
    tensor = torch.tensor(labels)
    if all(0 <= label < output_size for label in labels):
        assert common.expand_expected_output(tensor, output_size).sum() == len(labels)
    else:
        with pytest.raises(RuntimeError, match="Class values must be"):
            common.expand_expected_output(tensor, output_size)
    assert tensor.tolist() == labels


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bool, torch.complex64])
def test_labels_of_another_dtype_are_refused(dtype):
    with pytest.raises(RuntimeError, match="LongTensor"):
        common.expand_expected_output(torch.ones(3, dtype=dtype), 10)


@pytest.mark.parametrize("labels", [[1, 2], np.array([1, 2])])
def test_labels_that_are_no_tensor_are_refused(labels):
    with pytest.raises(TypeError, match="must be Tensor, not"):
        common.expand_expected_output(labels, 10)


@pytest.mark.parametrize("label", [-1, 10, torch.tensor(10)])
def test_a_single_label_out_of_range_is_refused(label):
    with pytest.raises(ValueError, match=f"not {int(label)}"):
        common.expand_single_output(label, 10)


def test_a_single_label_may_be_a_tensor_but_not_a_fraction():
    assert common.expand_single_output(torch.tensor(2), 3) == [0.0, 0.0, 1.0]
    with pytest.raises(TypeError):
        common.expand_single_output(1.0, 3)
