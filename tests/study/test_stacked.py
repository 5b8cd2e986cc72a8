import torch
from torch import nn
from torch.utils.data import Subset

import backprop_manual_mnist
import common
from pytorch_mnist import Net, create_input_reshaper, create_loss_function
from study import stacked

SEEDS = [1, 2, 3]


def test_each_network_is_trained_as_if_it_were_alone():
    """Its own weights, order of images, and a smaller last batch: for two epochs."""
    loader = common.get_loader(Subset(common.get_dataset(), range(1005)))
    nets, random_states = stacked.create_networks(Net, SEEDS)
    stacked.train_networks(nets, random_states, loader, 3.0, epochs=[1, 2])

    for seed, net in zip(SEEDS, nets, strict=True):
        torch.manual_seed(seed)
        expected = Net()
        untrained = expected.hidden_layer.weight.clone()
        backprop_manual_mnist.train_network(
            loader,
            expected,
            2,
            torch.optim.SGD(expected.parameters(), lr=3.0),
            create_input_reshaper(),
            create_loss_function(nn.MSELoss()),
        )
        for parameter, expected_parameter in zip(
            net.parameters(), expected.parameters(), strict=True
        ):
            torch.testing.assert_close(parameter, expected_parameter, rtol=0, atol=1e-5)
        assert not torch.equal(net.hidden_layer.weight, untrained)
