import numpy as np
import pytest
import torch
from conftest import cut
from torch.nn import functional

import common
import pytorch_mnist_convnet as convnet
from training import saved
from training.run import Run


def count(*layers):
    """The parameters of layers given as (inputs of a neuron, neurons): weights and biases."""
    return sum((inputs + 1) * neurons for inputs, neurons in layers)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("simple", count((25, 20), (20 * 12 * 12, 100), (100, 10))),
        ("2conv", count((25, 20), (20 * 25, 40), (40 * 4 * 4, 100), (100, 10))),
        ("relu", count((25, 20), (20 * 25, 40), (40 * 4 * 4, 100), (100, 10))),
        ("final", count((25, 20), (20 * 25, 40), (40 * 4 * 4, 1000), (1000, 1000), (1000, 10))),
    ],
)
def test_shapes_and_parameter_counts(name, expected):
    net = convnet.DESIGNS[name].network()
    assert sum(parameter.numel() for parameter in net.parameters()) == expected
    assert net(torch.rand(3, 1, 28, 28)).shape == (3, 10)


def convolve(images, conv):
    """The convolution as the book defines it, feature by feature and place by place."""
    n, _, height, width = images.shape
    size = conv.kernel_size[0]
    outputs = torch.empty(n, conv.out_channels, height - size + 1, width - size + 1)
    for y in range(outputs.shape[2]):
        for x in range(outputs.shape[3]):
            field = images[:, :, y : y + size, x : x + size].reshape(n, -1)
            outputs[:, :, y, x] = field @ conv.weight.reshape(len(conv.weight), -1).T + conv.bias
    return outputs


def pool(features):
    n, channels, height, width = features.shape
    return features.reshape(n, channels, height // 2, 2, width // 2, 2).amax(dim=(3, 5))


def dense(x, layer):
    return x @ layer.weight.T + layer.bias


@pytest.mark.parametrize("name", ["simple", "2conv", "relu", "final"])
@torch.no_grad()
def test_outputs_are_the_book_s_formulas(name):
    torch.manual_seed(1)
    net = convnet.DESIGNS[name].network().eval()
    images = torch.rand(2, 1, 28, 28)
    activate = torch.sigmoid if name in ("simple", "2conv") else (lambda z: z.clamp(min=0))
    convolutions = [net.conv] if name == "simple" else [net.conv1, net.conv2]
    hidden = [net.hidden_layer1, net.hidden_layer2] if name == "final" else [net.hidden_layer]

    x = images
    for conv in convolutions:
        x = pool(activate(convolve(x, conv)))
    x = x.reshape(2, -1)
    for layer in hidden:
        x = activate(dense(x, layer))
    torch.testing.assert_close(net(images), dense(x, net.output_layer), rtol=1e-4, atol=1e-5)


def test_the_final_design_drops_half_in_training_only():
    torch.manual_seed(1)
    net = convnet.ConvNetFinal()
    dropped = []
    for layer in (net.hidden_layer1, net.hidden_layer2, net.output_layer):
        layer.register_forward_pre_hook(lambda _, inputs: dropped.append(inputs[0] == 0))
    images = torch.rand(50, 1, 28, 28)
    baseline = []
    net.eval()(images)
    baseline, dropped[:] = [zeros.float().mean() for zeros in dropped], []
    net.train()(images)
    for zeros, before in zip(dropped, baseline, strict=True):
        assert abs(zeros.float().mean() - (0.5 + 0.5 * before)) < 0.1


def test_extended_data_are_the_images_and_their_shifts():
    dataset = cut(common.get_dataset(), 50)
    originals, labels = dataset.data.clone(), dataset.targets.clone()
    extended = convnet.extend_by_shifts(dataset)
    assert extended is dataset
    assert (extended.data.shape, extended.data.dtype) == ((250, 28, 28), torch.uint8)
    assert torch.equal(extended.targets, labels.repeat_interleave(5))

    padded = functional.pad(originals, (1, 1, 1, 1)).numpy()
    for shift, (y, x) in enumerate([(1, 1), (1, 2), (1, 0), (2, 1), (0, 1)]):
        window = padded[:, y : y + 28, x : x + 28]
        assert np.array_equal(extended.data[shift::5].numpy(), window)


def test_the_script_runs_a_design(run_script, small_mnist, tmp_path, capsys):
    file = tmp_path / "model.pt"
    flags = f"--net relu --epochs 2 --batch-size 2 --seed 1 --threads 1 --save-model {file}"
    run_script("pytorch_mnist_convnet.py", *flags.split())

    *lines, empty, test_line = capsys.readouterr().out.splitlines()
    assert [line.rsplit(",", 1)[0] for line in lines] == [
        f"Epoch [{epoch}/2], Step [{step}/300]" for epoch in (1, 2) for step in (100, 200, 300)
    ]
    assert empty == ""
    assert test_line.startswith("Test data results: 0.")

    net = saved.load(file).net
    assert type(net) is convnet.ConvNetTwoConvRelu
    accuracy = common.test_network(common.get_test_loader(), net, convnet.identity)
    assert str(accuracy) == test_line.split()[-1]


def train_and_record(run_script, monkeypatch, flags):
    """Run the script with a training and a test that only record; return what they were given."""
    given = {}

    def train_network(run, loader, net, num_epochs, optimizer, *_):
        (group,) = optimizer.param_groups
        given.update(
            threads=torch.get_num_threads(),
            images=len(loader.dataset),
            batch_size=loader.batch_size,
            inputs=next(iter(loader))[0].min().item(),
            epochs=num_epochs,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            channels_last=all(
                weight.is_contiguous(memory_format=torch.channels_last)
                for weight in net.parameters()
                if weight.dim() == 4  # of 2conv, the second one tells: the first has one channel
            ),
        )

    def test_network(run, loader, *_):
        given.update(test_inputs=next(iter(loader))[0].min().item())

    monkeypatch.setattr(Run, "train_network", train_network)
    monkeypatch.setattr(Run, "test_network", test_network)
    run_script("pytorch_mnist_convnet.py", *flags.split())
    return given


SIMPLE = {
    "threads": convnet.NUM_THREADS,
    "images": 600,
    "batch_size": 10,
    "inputs": 0.0,
    "test_inputs": 0.0,
    "epochs": 60,
    "lr": 0.1,
    "weight_decay": 0.0,
    "channels_last": True,
}
NORMALIZED = pytest.approx(-0.1305 / 0.3081)
RELU = {**SIMPLE, "lr": 0.03, "weight_decay": 0.00005}
FINAL = {**SIMPLE, "epochs": 40, "lr": 0.005, "images": 3000}


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        # The companion repository's commands
        ("", SIMPLE),
        ("--net 2conv", SIMPLE),
        ("--net relu --lr 0.03 --wd 0.00005", RELU),
        ("--net relu --lr 0.03 --wd 0.00005 --extend_data", {**RELU, "images": 3000}),
        ("--net final --epochs 40 --lr 0.005 --extend_data", FINAL),
        # Ours
        ("--net relu", RELU),
        ("--net final", FINAL),
        ("--net final --no-extend-data --epochs 2", {**FINAL, "images": 600, "epochs": 2}),
        ("--weight-decay 0.5 --threads 1", {**SIMPLE, "weight_decay": 0.5, "threads": 1}),
        ("--normalize", {**SIMPLE, "inputs": NORMALIZED, "test_inputs": NORMALIZED}),
    ],
)
def test_flags_have_their_effect(flags, expected, small_mnist, run_script, monkeypatch):
    assert train_and_record(run_script, monkeypatch, flags) == expected
