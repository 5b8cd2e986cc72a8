import torch

import backprop_manual_mnist
import common
import pytorch_mnist
from mnist.images import keep_first
from study import stacked


def create_network(seed):
    """Return a network, and the state of the random generator after its creation."""
    torch.manual_seed(seed)
    return pytorch_mnist.Net(), torch.get_rng_state()


def test_each_network_is_trained_as_if_it_were_alone():
    """Its own starting weights, order of images, and a smaller last batch: for two epochs."""
    loader = common.get_loader(keep_first(common.get_dataset(), 1005))
    nets, random_states = map(list, zip(*[create_network(seed) for seed in (1, 2, 3)], strict=True))
    ends = []
    stacked.train_networks(
        nets, random_states, loader, 2, 3.0, after_epoch=lambda net: ends.append(nets.index(net))
    )
    assert ends == [0, 1, 2] * 2

    for seed, net in zip((1, 2, 3), nets, strict=True):
        expected, _ = create_network(seed)
        take_steps = backprop_manual_mnist.create_steps(expected, 3.0)
        for _ in range(2):
            assert sum(1 for _ in take_steps(loader)) == 101
        for parameter, expected_parameter in zip(
            net.parameters(), expected.parameters(), strict=True
        ):
            torch.testing.assert_close(parameter, expected_parameter, rtol=0, atol=1e-5)
        assert not torch.equal(net.hidden_layer.weight, create_network(seed)[0].hidden_layer.weight)
