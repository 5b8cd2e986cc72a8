import pytest
import torch

import common
from handwriting import DIGITS, train


def test_the_network_that_comes_along_is_small_and_good(network):
    assert DIGITS.stat().st_size < 1_000_000
    test_set = common.get_dataset(train=False)
    outputs = network(test_set.data[:2000, None] / 255)
    assert (outputs.argmax(1) == test_set.targets[:2000]).float().mean() > 0.985


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
