import numpy as np
import pytest
import torch

import common
from handwriting import DIGITS, train


def test_the_network_that_comes_along_is_small_and_good(network):
    assert DIGITS.stat().st_size < 1_000_000
    test_set = common.get_dataset(train=False)
    outputs = network(test_set.data[:2000, None] / 255)
    assert (outputs.argmax(1) == test_set.targets[:2000]).float().mean() > 0.985


def test_each_image_and_drawing_is_trained_on_once_an_epoch(small_mnist, monkeypatch):
    seen = []

    def record(images):
        seen.append(images)
        return images

    monkeypatch.setattr(train, "vary", record)
    monkeypatch.setattr(train, "NUM_DRAWN", 40)
    train.train(epochs=1)
    drawn, _ = train.draw_european(40, np.random.default_rng(train.SEED))
    expected = torch.cat([common.get_dataset().data, drawn])
    levels = (torch.cat(seen)[:, 0] * 255).round().to(torch.uint8)
    assert sorted(image.numpy().tobytes() for image in levels) == sorted(
        image.numpy().tobytes() for image in expected
    )


def test_drawings_to_train_on_lie_as_mnist_s_images_do():
    """In a box of 20 pixels around the centre of mass, pixel 13.5 or 14 (half a pixel is lost)."""
    images, digits = train.draw_european(60, np.random.default_rng(3))
    assert set(digits.tolist()) == {1, 4, 7, 9}
    for image in images.numpy():
        rows, columns = (image > 40).nonzero()
        assert 19 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 21
        middle = np.average(np.indices(image.shape).reshape(2, -1), axis=1, weights=image.ravel())
        assert middle == pytest.approx([13.75, 13.75], abs=0.6)


@pytest.mark.parametrize(("draw", "is_thicker"), [(1.0, True), (0.0, False)])
def test_pens_are_thicker_and_thinner(draw, is_thicker, monkeypatch):
    """Of a stroke three pixels wide, about as long as the image is high."""
    monkeypatch.setattr(torch, "rand", lambda number, device: torch.full((number,), draw))
    monkeypatch.setattr(train.functional, "grid_sample", lambda images, grid, **kw: images)
    images = torch.zeros(1, 1, 28, 28)
    images[..., 4:24, 12:15] = 1
    varied = train.vary(images)
    assert varied.min() >= 0 and varied.max() <= 1
    assert (varied.sum() > 1.5 * images.sum()) == is_thicker
    assert (varied.sum() < 0.7 * images.sum()) != is_thicker


@pytest.mark.slow
def test_training_again_gives_such_a_network(network):
    assert abs(train.test(train.train()) - train.test(network.net)) < 0.002
