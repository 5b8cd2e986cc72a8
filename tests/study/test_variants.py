"""What the variants differ in; the book's against its own equations in numpy."""

import contextlib
import functools
import time

import numpy as np
import pytest
import torch
from conftest import cut
from idx_files import write_data
from torch import nn
from torch.utils.data import Subset
from training_checks import compute_cost, record_networks

import common
import pytorch_mnist
from common import RefusedError
from study import stacked, variants
from study.variants import VARIANTS


def describe(variant):
    """Return what an experiment depends on: initialisation, cost, training images, inputs."""
    torch.manual_seed(1)
    weights = torch.cat([p.flatten() for p in variants.create_network(variant).parameters()])
    dataset = variants.get_train_loader(variant).dataset
    return {
        "init": (weights.mean().item(), weights.std().item()),
        "cost": variants.get_learning_rate(variant),
        "data": len(dataset),
        "inputs": dataset[0][0].sum().item(),
    }


def test_each_variant_differs_from_the_article_in_what_its_name_says(small_mnist, monkeypatch):
    monkeypatch.setattr(variants, "BOOK_TRAINING_SIZE", 500)
    described = {name: describe(variant) for name, variant in VARIANTS.items()}
    article, book, normalized = map(described.pop, ("article", "book", "normalized"))
    assert all(article[thing] != book[thing] for thing in ("init", "cost", "data"))
    assert article["inputs"] != normalized["inputs"]
    assert normalized == {**article, "inputs": normalized["inputs"]}
    assert len(described) == 6
    for name, description in described.items():
        assert description == {**article, **{thing: book[thing] for thing in name.split("+")}}


def test_normalised_inputs_are_shifted_and_scaled_in_training():
    image, _ = variants.get_train_loader(VARIANTS["normalized"]).dataset[0]
    plain, _ = common.get_dataset()[0]
    torch.testing.assert_close(image, (plain - 0.1305) / 0.3081)


@pytest.mark.parametrize(
    ("name", "shift", "scale"), [("article", 0, 1), ("normalized", 0.1305, 0.3081)]
)
def test_a_variant_is_tested_on_inputs_as_it_is_trained_on(
    name, shift, scale, small_mnist, monkeypatch
):
    seen = []

    def count_missed(net, inputs, labels):
        seen.append(inputs)
        return torch.zeros(10, dtype=torch.int64)

    monkeypatch.setattr(variants, "count_missed", count_missed)
    variants.train(name, [1], epochs=1)
    plain = torch.cat([images for images, _ in common.get_test_loader()]).flatten(1)
    torch.testing.assert_close(seen, [(plain - shift) / scale])


def test_the_article_variant_has_the_article_s_network_and_data():
    torch.manual_seed(5)
    net = variants.create_network(VARIANTS["article"])
    torch.manual_seed(5)
    assert all(map(torch.equal, net.parameters(), pytorch_mnist.Net().parameters()))
    assert len(variants.get_train_loader(VARIANTS["article"]).dataset) == 60_000


def test_the_book_s_weights_and_biases_are_normal():
    torch.manual_seed(0)
    net = variants.create_network(VARIANTS["book"])
    for parameter in net.parameters():
        # Mean and standard deviation within five of their standard errors.
        assert abs(parameter.mean()) < 5 / parameter.numel() ** 0.5
        assert abs(parameter.std() - 1) < 5 / (2 * parameter.numel()) ** 0.5


def test_the_book_trains_on_the_first_50000_images():
    loader = variants.get_train_loader(VARIANTS["book"])
    everything = common.get_dataset()
    images, labels = variants.read_all(loader.dataset)
    assert torch.equal(images, everything.data[:50_000, None] / 255)
    assert torch.equal(labels, everything.targets[:50_000])
    assert len(loader) == 5_000


# The book's equations, an independent implementation in numpy: one image at a time, as columns.


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def backprop(weights, biases, x, y):
    """The gradients of C = 1/2 ||y - a||^2 for one image x [784, 1], by the book's BP1 to BP4."""
    activations, zs = [x], []
    for w, b in zip(weights, biases, strict=True):
        zs.append(w @ activations[-1] + b)
        activations.append(sigmoid(zs[-1]))
    delta = (activations[-1] - y) * sigmoid(zs[-1]) * (1 - sigmoid(zs[-1]))
    nabla_w, nabla_b = [delta @ activations[-2].T], [delta]
    delta = (weights[-1].T @ delta) * sigmoid(zs[-2]) * (1 - sigmoid(zs[-2]))
    return [delta @ activations[-3].T, *nabla_w], [delta, *nabla_b]


def average_gradients(weights, biases, images, labels):
    """The gradients of the batch's cost, the average over its images."""
    sums_w, sums_b = [0, 0], [0, 0]
    for image, label in zip(images.numpy(), labels, strict=True):
        nabla_w, nabla_b = backprop(
            weights, biases, image.reshape(784, 1), np.eye(10)[:, [int(label)]]
        )
        sums_w = [s + n for s, n in zip(sums_w, nabla_w, strict=True)]
        sums_b = [s + n for s, n in zip(sums_b, nabla_b, strict=True)]
    return [s / len(images) for s in sums_w], [s / len(images) for s in sums_b]


def get_weights_and_biases(net):
    layers = net.hidden_layer, net.output_layer
    return (
        [layer.weight.detach().numpy().copy() for layer in layers],
        [layer.bias.detach().numpy()[:, np.newaxis].copy() for layer in layers],
    )


@pytest.fixture
def book():
    """The book's network in float64, and real batches of 10."""
    torch.manual_seed(11)
    net = variants.create_network(VARIANTS["book"]).double()
    loader = common.get_loader(Subset(common.get_dataset(), range(300)))
    return net, [(images.double(), labels) for images, labels in loader]


def test_the_book_s_gradients_by_autograd_are_the_book_s(book):
    net, batches = book
    images, labels = batches[0]
    compute_cost(VARIANTS["book"], net(images.flatten(1)), labels).backward()
    nabla_w, nabla_b = average_gradients(*get_weights_and_biases(net), images, labels)
    for layer, w, b in zip(net.children(), nabla_w, nabla_b, strict=True):
        np.testing.assert_allclose(layer.weight.grad, w, rtol=1e-10, atol=1e-14)
        np.testing.assert_allclose(layer.bias.grad, b[:, 0], rtol=1e-10, atol=1e-14)


def test_the_book_s_steps_by_hand_are_the_book_s(book):
    """Gradient by gradient: each of thirty steps on real images."""
    net, batches = book
    weights, biases = get_weights_and_biases(net)
    take_steps = stacked.create_steps([net], variants.get_learning_rate(VARIANTS["book"]))
    for images, labels in batches:
        nabla_w, nabla_b = average_gradients(weights, biases, images, labels)
        y = nn.functional.one_hot(labels, 10)
        take_steps([(images.reshape(1, -1, 784), y.unsqueeze(0))])
        new_weights, new_biases = get_weights_and_biases(net)
        for old, new, nabla in zip(
            weights + biases, new_weights + new_biases, nabla_w + nabla_b, strict=True
        ):
            np.testing.assert_allclose((old - new) / 3.0, nabla, rtol=1e-9, atol=1e-13)
        weights, biases = new_weights, new_biases


def test_the_article_variant_is_the_article_s_script(small_mnist):
    torch.manual_seed(3)
    printed = pytorch_mnist.run_network(pytorch_mnist.Net(), epochs=4)
    (result,) = variants.train("article", [3], epochs=4)
    assert result["accuracy"] == pytest.approx(printed, abs=0.005)
    assert printed > 0.2


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_is_trained_as_it_is_defined(name, small_mnist, monkeypatch):
    """Beside another seed, and by autograd: the same weights, up to rounding."""
    monkeypatch.setattr(variants, "BOOK_TRAINING_SIZE", 500)
    trained = record_networks(monkeypatch)
    variants.train(name, [1, 2], epochs=2)

    variant = VARIANTS[name]
    torch.manual_seed(2)
    expected = pytorch_mnist.Net()
    if variant.book_init:
        for parameter in expected.parameters():
            parameter.data.normal_()
    dataset = common.get_dataset(transform=common.get_transform(variant.normalized))
    if variant.book_data:
        cut(dataset, 500)

    common.train_network(
        common.get_loader(dataset),
        expected,
        2,
        torch.optim.SGD(expected.parameters(), lr=3.0),
        pytorch_mnist.create_input_reshaper(),
        functools.partial(compute_cost, variant),
    )
    for parameter, wanted in zip(trained[-1].parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(parameter, wanted, rtol=0, atol=1e-4)


def test_results_fit_together(monkeypatch):
    monkeypatch.setattr(variants, "BOOK_TRAINING_SIZE", 2_000)
    start = time.monotonic()
    results = variants.train("book", [7, 8, 9], epochs=2)
    elapsed = time.monotonic() - start
    num_images = torch.bincount(common.get_dataset(train=False).targets).tolist()
    for seed, result in zip([7, 8, 9], results, strict=True):
        assert (result["variant"], result["seed"]) == ("book", seed)
        missed = sum(e * n for e, n in zip(result["error_per_digit"], num_images, strict=True))
        assert 1 - missed / 10_000 == pytest.approx(result["accuracy"])
        assert result["accuracy_after_epoch"][-1] == result["accuracy"]
        assert len(result["accuracy_after_epoch"]) == 2
        assert result["settings"]["book_cost"] is True
        assert result["machine"]["torch"] == torch.__version__
        assert result["seconds"] > 0
    assert results[0]["accuracy_after_epoch"] != results[1]["accuracy_after_epoch"]
    assert sum(result["seconds"] for result in results) < elapsed  # each has its share


def test_the_networks_are_on_the_device(small_mnist, monkeypatch):
    """On "meta", which holds no values, they are trained, and can't be tested."""
    devices = []

    def stop(net, inputs, labels):
        devices.extend([common.get_device(net).type, inputs.device.type, labels.device.type])
        raise KeyboardInterrupt

    monkeypatch.setattr(variants, "count_missed", stop)
    with pytest.raises(KeyboardInterrupt):
        variants.train("init+cost", [1, 2], epochs=1, device="meta")
    assert devices == ["meta"] * 3


def test_other_data_may_lack_a_digit_but_not_the_book_s_images(tmp_path):
    write_data(tmp_path / "MNIST" / "raw", num_images=5)  # of 0, 7, 4, 1 and 8
    (result,) = variants.train("article", [1], epochs=1, data_root=tmp_path)
    errors = result["error_per_digit"]
    assert [errors[digit] for digit in (2, 3, 5, 6, 9)] == [0.0] * 5
    assert sum(errors) / 5 == pytest.approx(1 - result["accuracy"])
    with pytest.raises(RefusedError, match=r"50,000 images, and there are only 5 in"):
        variants.train("data", [1], epochs=1, data_root=tmp_path)


def test_other_data_are_trained_and_tested_on(tmp_path, monkeypatch):
    images, labels = write_data(tmp_path / "MNIST" / "raw")
    trained = record_networks(monkeypatch)
    data = variants.name_data(tmp_path)
    (result,) = variants.train("article", [1], epochs=3, data_root=tmp_path, data=data)
    predictions = trained[-1](images.flatten(1) / 255).argmax(dim=1)
    assert result["accuracy"] == pytest.approx((predictions == labels).float().mean().item())
    assert result["settings"]["data"] == data != variants.name_data()
    torch.manual_seed(1)
    expected = pytorch_mnist.Net()
    with contextlib.redirect_stdout(None):
        pytorch_mnist.run_network(expected, epochs=3, data_root=tmp_path)
    for parameter, wanted in zip(trained[-1].parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(parameter, wanted, rtol=0, atol=1e-5)
